import { readFileSync, writeFileSync } from "node:fs";
import { loadConfig, SETTINGS } from "../src/config.ts";

/**
 * Writes docs/configuration.md from the table of settings. With --check it only compares, and exits with 1 if the page
 * differs.
 */
const PAGE = new URL("../docs/configuration.md", import.meta.url);

const defaults = loadConfig({}) as unknown as Readonly<Record<string, unknown>>;

function row([name, { env, doc }]: [string, (typeof SETTINGS)[keyof typeof SETTINGS]]): string {
  const value = defaults[name];
  const text = typeof value === "object" ? "{}" : (value as string | number | undefined);
  const fallback = text === undefined ? "" : `\`${text}\``;
  return `| \`${env}\` | ${fallback} | ${doc} |`;
}

const page = `<!-- Generated from src/config.ts by npm run docs; do not edit. -->

# Settings

Settings come from the environment. Those without a default are off unless set. Each connection string may come from a file
instead, named by the setting's name with \`_FILE\` behind it, as container secrets are. \`tallyman config\` prints the
values in force, passwords masked. A wrong value stops every command with exit code 1 and a list of all that is wrong.

| setting | default | |
|---|---|---|
${Object.entries(SETTINGS).map(row).join("\n")}
`;

if (process.argv.includes("--check")) {
  if (readFileSync(PAGE, "utf8") !== page) {
    console.error("docs/configuration.md is not what src/config.ts says. Run: npm run docs");
    process.exitCode = 1;
  }
} else {
  writeFileSync(PAGE, page);
}
