import { readFileSync } from "node:fs";
import { type Assumption } from "../check-mongodb/assumption.ts";
import { THEMES } from "../check-mongodb/assumptions.ts";
import { cell, generatedFrom, type Page } from "./page.ts";

const FROM = "dev/check-mongodb/assumptions";

/** What Tallyman needs of MongoDB, with every assumption as a row. */
export const mongodbPage: Page = {
  file: "mongodb.md",
  from: FROM,
  text() {
    const head = readFileSync(new URL("mongodb-head.md", import.meta.url), "utf8").trimEnd();
    const sections = THEMES.map(({ title, rows }) => `### ${title}\n\n${tableOf(rows)}`);
    return `${generatedFrom(FROM)}\n\n${head}\n\n${sections.join("\n\n")}\n`;
  },
};

function tableOf(rows: readonly Assumption[]): string {
  const head = "| assumption | why it matters | source | held by | on FerretDB |\n|---|---|---|---|---|";
  return [head, ...rows.map(rowOf)].join("\n");
}

function rowOf(row: Assumption): string {
  const held = row.heldBy.length === 0 ? "no test" : row.heldBy.map((file) => `\`${file}\``).join(", ");
  const here = "ferret" in row ? row.ferret : { verdict: "not tried", note: row.untried };
  const ferret = here.note === undefined ? here.verdict : `${here.verdict}: ${here.note}`;
  return `| **\`${row.id}\`** ${cell(row.says)} | ${cell(row.why)} | ${cell(row.source)} | ${held} | ${cell(ferret)} |`;
}
