#!/usr/bin/env node
// A checkout runs its sources, so that what runs is never older than what is read; an image ships only dist/.
import { existsSync } from "node:fs";

const source = new URL("../src/cli.ts", import.meta.url);
if (existsSync(source)) {
  const { tsImport } = await import("tsx/esm/api");
  await tsImport(source.href, import.meta.url);
} else {
  await import("../dist/src/cli.js");
}
