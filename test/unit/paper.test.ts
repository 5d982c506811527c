import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** A file or folder of this repository, as pages and comments name it. */
const NAMED = /(?<![\w./-])(?:src|test|dev|bench|manifests|docs)\/[\w./-]*[\w-]/g;

function filesBelow(folder: string, ending: string): string[] {
  return readdirSync(path.join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(ending))
    .map((name) => path.join(folder, name));
}

const PAGES = ["README.md", "CONTRIBUTING.md", ...filesBelow("docs", ".md")];
const COMMENTED = ["src", "manifests", "dev", "bench", "test"].flatMap((folder) => filesBelow(folder, ".ts"));

test.each([
  ["pages", PAGES, (text: string) => text],
  ["comments", COMMENTED, (text: string) => (text.match(/^\s*(\/\*\*|\*|\/\/).*$/gm) ?? []).join("\n")],
] as const)("every file that %s name is there", (_what, files, read) => {
  const named = files.flatMap((file) =>
    [...read(readFileSync(path.join(ROOT, file), "utf8")).matchAll(NAMED)].map(([name]) => ({ file, name })),
  );
  expect(named.length).toBeGreaterThan(0);
  const missing = named.filter(({ name }) => !existsSync(path.join(ROOT, name)));
  expect(missing.map(({ file, name }) => `${file} names ${name}`)).toEqual([]);
});
