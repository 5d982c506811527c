import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { packageVersion } from "../../../src/cli/version.ts";

test("the version is the package's", () => {
  const file = new URL("../../../package.json", import.meta.url);
  const { version } = JSON.parse(readFileSync(file, "utf8")) as { version: string };
  expect(packageVersion()).toBe(version);
});
