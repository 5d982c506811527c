import { readFileSync, writeFileSync } from "node:fs";
import { configurationPage } from "./pages/configuration.ts";
import { mongodbPage } from "./pages/mongodb.ts";
import type { Page } from "./pages/page.ts";

/** Writes the generated pages. With --check it only compares, and exits with 1 if one differs. */
const PAGES: readonly Page[] = [configurationPage, mongodbPage];

const isCheck = process.argv.includes("--check");
for (const page of PAGES) {
  const file = new URL(`../docs/${page.file}`, import.meta.url);
  const text = page.text();
  if (!isCheck) writeFileSync(file, text);
  else if (readFileSync(file, "utf8") !== text) {
    console.error(`docs/${page.file} is not what ${page.from} says. Run: npm run docs`);
    process.exitCode = 1;
  }
}
