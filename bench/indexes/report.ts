/** Formats the figures as the tables of docs/indexes.md. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { format, resolveConfig } from "prettier";
import type { Contract } from "../../src/indexes/index.ts";
import type { Subject } from "./subjects.ts";
import { batchOf, type Sizes, type Writes } from "./write.ts";

export interface Timed {
  readonly target: string;
  readonly index: string | undefined;
  readonly contract: Contract;
  readonly returned: number;
  /** median milliseconds */
  readonly without: number;
  readonly with: number;
  /** the indexes that the plan uses */
  readonly through: string;
}

export interface Measured {
  readonly subject: Subject;
  readonly rows: number;
  readonly queries: readonly Timed[];
  /** by collection or table */
  readonly writes: ReadonlyMap<string, { readonly without: Writes; readonly with: Writes }>;
  readonly sizes: ReadonlyMap<string, Sizes>;
  /** milliseconds that `ensure` took for all of them */
  readonly buildMs: number;
  /** names of the target's indexes that were built */
  readonly built: ReadonlyMap<string, readonly string[]>;
}

/** Markdown for one document. */
export function tables(measured: Measured): string {
  const { queries, subject } = measured;
  const served = queries.filter(({ contract }) => contract.mode !== "cannot");
  const unserved = queries.filter(({ contract }) => contract.mode === "cannot");
  const batch = batchOf([...measured.sizes.keys()][0] ?? "");
  const pages = subject.pages.map(({ name, contracts, promised }) => {
    const parts = served.filter(({ contract }) => contracts.includes(contract.name));
    const sum = (key: "without" | "with") => parts.reduce((all, part) => all + part[key], 0);
    return [
      `**${name}**: ${contracts.join(" + ")}`,
      "",
      "",
      ms(sum("without")),
      ms(sum("with")),
      times(sum("without") / sum("with")),
      promised,
    ];
  });
  return [
    table(
      ["query", "index", "found", "without, ms", "with, ms", "ratio", "promised"],
      [...served.map(queryRow), ...pages],
    ),
    ...(unserved.length === 0
      ? []
      : [
          "Queries of the document that no index serves:",
          table(["query", "found", "without, ms", "with, ms", "why"], unserved.map(unservedRow)),
        ]),
    table(["of", "data", "its indexes", "share", `insert ${batch}, ms`, `update ${batch}, ms`], targetRows(measured)),
    `Building all of them took ${(measured.buildMs / 1000).toFixed(1)} s.`,
  ].join("\n\n");
}

function queryRow({ target, index, contract, returned, without, with: after, through }: Timed): string[] {
  const ratio = without / after;
  const other = index !== undefined && through !== index ? ` (${through === "-" ? "reads all" : through})` : "";
  return [
    contract.name,
    `${shortName(target)} \`${index}\`${other}`,
    count(returned),
    ms(without),
    ms(after),
    times(ratio),
    promise(contract, after, ratio),
  ];
}

function unservedRow({ contract, returned, without, with: after }: Timed): string[] {
  return [contract.name, count(returned), ms(without), ms(after), contract.because ?? ""];
}

/** The promise of the document, and whether the measurement keeps it. */
function promise({ maxMs, promised }: Contract, after: number, ratio: number): string {
  const kept = (isKept: boolean) => (isKept ? "kept" : "**not kept**");
  return [
    ...(maxMs === undefined
      ? []
      : [`${promised?.withoutMs === undefined ? "" : `${promised.withoutMs} → `}${maxMs} ms: ${kept(after <= maxMs)}`]),
    ...(promised?.factor === undefined || Number.isNaN(ratio)
      ? []
      : [`${promised.factor}x: ${kept(ratio >= promised.factor)}`]),
  ].join(", ");
}

function targetRows({ sizes, writes, built, subject }: Measured): string[][] {
  const rows = [...sizes].map(([target, { data, indexes }]) => {
    const bytes = (built.get(target) ?? []).reduce((sum, name) => sum + (indexes[name] ?? 0), 0);
    const pair = writes.get(target);
    const change = (key: keyof Writes) =>
      pair === undefined
        ? ""
        : `${ms(pair.without[key])} → ${ms(pair.with[key])} (${percent(pair.with[key] / pair.without[key] - 1)})`;
    const limit = subject.sizePct === undefined ? "" : ` (promised under ${subject.sizePct} %)`;
    return [
      shortName(target),
      mib(data),
      mib(bytes),
      `${((100 * bytes) / data).toFixed(1)} %${limit}`,
      change("insert"),
      change("update"),
    ];
  });
  const pairs = [...writes.values()];
  const total = (key: keyof Writes, side: "without" | "with") => pairs.reduce((sum, pair) => sum + pair[side][key], 0);
  const all = (key: keyof Writes) =>
    `${percent(total(key, "with") / total(key, "without") - 1)} (promised under +${subject.writesPct} %)`;
  return [...rows, ["**all**", "", "", "", all("insert"), all("update")]];
}

const MARK = /<!-- (\w[\w-]*): written by npm run bench -- indexes -->[\s\S]*?<!-- end -->/g;

/** Puts each text between the marks of its name. @throws Error for a name without marks */
export async function writeInto(page: URL, texts: ReadonlyMap<string, string>): Promise<void> {
  const before = readFileSync(page, "utf8");
  const found = new Set<string>();
  const after = before.replaceAll(MARK, (whole, name: string) => {
    const text = texts.get(name);
    if (text === undefined) return whole;
    found.add(name);
    return `<!-- ${name}: written by npm run bench -- indexes -->\n\n${text}\n\n<!-- end -->`;
  });
  const missing = [...texts.keys()].filter((name) => !found.has(name));
  if (missing.length > 0) throw new Error(`${page.pathname} has no marks for ${missing.join(", ")}`);
  const filepath = fileURLToPath(page);
  writeFileSync(page, await format(after, { ...(await resolveConfig(filepath)), filepath }));
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), `|${head.map(() => "---").join("|")}|`, ...rows.map(line)].join("\n");
}

const shortName = (target: string) => target.replace(/^public\./, "");
const count = (n: number) => n.toLocaleString("en");
const ms = (value: number) =>
  Number.isNaN(value) ? "refused" : value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en");
const times = (ratio: number) =>
  Number.isNaN(ratio) ? "" : `${ratio < 10 ? ratio.toFixed(1) : Math.round(ratio).toLocaleString("en")}x`;
const percent = (share: number) => `${share < 0 ? "−" : "+"}${Math.abs(Math.round(100 * share))} %`;
const mib = (bytes: number) => `${(bytes / 1_048_576).toFixed(1)} MiB`;
