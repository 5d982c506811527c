import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const run = promisify(execFile);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "tallyman-pack-"));
});
afterAll(() => rm(folder, { recursive: true }));

test("the package installs into an empty folder and starts there, without the sources", async () => {
  const packed = await run("npm", ["pack", "--json", "--pack-destination", folder], { cwd: ROOT });
  const [{ filename, files }] = JSON.parse(packed.stdout.slice(packed.stdout.indexOf("["))) as [
    { filename: string; files: { path: string }[] },
  ];
  const others = files.map((file) => file.path).filter((file) => !/^(bin|dist|docs)\//.test(file));
  expect(others.sort()).toEqual(["LICENSE", "README.md", "package.json"]);
  expect(files.map((file) => file.path)).toEqual(expect.arrayContaining(["bin/tallyman.js", "dist/src/cli.js"]));

  await writeFile(path.join(folder, "package.json"), "{}");
  const install = ["install", "--prefer-offline", "--no-audit", "--no-fund", path.join(folder, filename)];
  await run("npm", install, { cwd: folder });
  const tallyman = path.join(folder, "node_modules", ".bin", "tallyman");
  const { version } = JSON.parse(await readFile(path.join(ROOT, "package.json"), "utf8")) as { version: string };
  expect((await run(tallyman, ["--version"], { cwd: folder })).stdout).toBe(`${version}\n`);
  expect((await run(tallyman, ["--help"], { cwd: folder })).stdout).toContain("Usage: tallyman");
  expect((await run(tallyman, ["indexes", "show", "--manifest", "usage"], { cwd: folder })).stdout).toContain(
    "project: usage",
  );
});
