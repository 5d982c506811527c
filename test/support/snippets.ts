import { readFileSync } from "node:fs";

/** The code blocks of one language under a heading of a page, in order. */
export function snippets(page: string, heading: string, language: string): string[] {
  const text = readFileSync(new URL(`../../${page}`, import.meta.url), "utf8");
  const [, section] = text.split(new RegExp(`^## ${heading}$`, "m"));
  if (section === undefined) throw new Error(`${page} has no heading "${heading}"`);
  const own = section.split(/^## /m)[0] ?? "";
  const blocks = [...own.matchAll(new RegExp(`^( *)\`\`\`${language}\\n([\\s\\S]*?)^ *\`\`\`$`, "gm"))];
  return blocks.map(([, indent = "", code = ""]) => code.replaceAll(new RegExp(`^${indent}`, "gm"), ""));
}
