import type { Command } from "commander";
import { EXIT, UsageError } from "../../errors.ts";
import { formatMs, type VerifyEntry, verifyIndexes, type VerifyReport } from "../../indexes/index.ts";
import { action, createCommand } from "../command.ts";
import type { Lines } from "../lines.ts";
import { table } from "../table.ts";
import { tell } from "../terminal.ts";
import { again, withIndexes, withIndexFlags, type IndexFlags } from "./options.ts";
import { watching, withWatch, type WatchFlags } from "./watching.ts";

interface VerifyFlags extends IndexFlags, WatchFlags {
  readonly target?: string;
  readonly index?: readonly string[];
}

/** `indexes verify`: checks on the live data that the queries of the contracts use their indexes. */
export function verifyCommand(): Command {
  const command = createCommand(
    "verify",
    "Explain the query of each contract on the live data, and compare the plan with the contract.",
    "tallyman indexes verify --manifest petbuddy --index facebookChatId_1",
  );
  return withWatch(withIndexFlags(command))
    .option("--target <name>", "only queries of this collection or schema.table")
    .option("--index <name>", "only queries of this index; may be repeated", collect)
    .action(
      action<VerifyFlags>(async (flags, context) => {
        const { signal, answer, json } = context;
        const { target, index: indexes } = flags;
        const only = { ...(target === undefined ? {} : { target }), ...(indexes === undefined ? {} : { indexes }) };
        return watching(flags, context, async () => {
          const report = await withIndexes(context, flags, (targets) =>
            verifyIndexes({ ...targets, signal, only, ...(json ? {} : { onProgress: tell }) }),
          );
          if (report.entries.length === 0 && Object.keys(only).length > 0) {
            throw new UsageError(
              `${[target ?? [], indexes ?? []].flat().join(" ")} has no contract; see: ${again("show", flags)}`,
            );
          }
          answer(report, verifyText(report));
          return report.ok ? EXIT.done : EXIT.found;
        });
      }),
    );
}

/** The report for a person: a row for each contract, then the checks that the server does not allow, the warnings and a summary. */
export function verifyText({ entries, ok }: VerifyReport): Lines {
  if (entries.length === 0) return ["No contract is declared."];
  const rows = entries.map((entry) => [
    entry.target,
    entry.index,
    entry.contract,
    `${entry.ok ? "" : "NOT OK: "}${entry.verdict}`,
    entry.returned === null
      ? null
      : `${entry.examined === null ? "?" : count(entry.examined)}/${count(entry.returned)}`,
    timeOf(entry),
    [...entry.why, ...entry.advice.map((text) => `advice: ${text}`)].join("; ") || null,
  ]);
  const unchecked = entries.filter((entry) => entry.unchecked.length > 0);
  const checks = [...new Set(unchecked.flatMap((entry) => entry.unchecked))];
  const of = (verdict: VerifyEntry["verdict"]) => entries.filter((entry) => entry.verdict === verdict).length;
  const tally = (["uses", "could use", "cannot use", "no data"] as const)
    .filter((verdict) => of(verdict) > 0)
    .map((verdict) => `${of(verdict)} ${verdict}`);
  const broken = entries.filter((entry) => !entry.ok).length;
  const warned = entries.flatMap(({ target, warnings }) =>
    warnings.map(({ sentence }) => `Warning: ${target}: ${sentence}`),
  );
  return [
    ...table(["target", "index", "query", "verdict", "examined/returned", "ms", "why"], rows),
    ...(checks.length > 0
      ? [
          `This server does not allow these checks, so ${unchecked.length} contracts went without: ${checks.join(", ")}.`,
        ]
      : []),
    ...new Set(warned),
    `${entries.length} contracts: ${tally.join(", ")}. ${ok ? "All as promised." : `${broken} not as promised.`}`,
  ];
}

/** The measured time, the promised time, and the source document's time without the index. */
function timeOf({ ms, maxMs, promised }: VerifyEntry): string | null {
  const parts = [
    ms === null ? "" : formatMs(ms),
    maxMs === null ? "" : `of ${count(maxMs)}`,
    promised?.withoutMs === undefined ? "" : `(without it ${count(promised.withoutMs)})`,
  ].filter((part) => part !== "");
  return parts.length === 0 ? null : parts.join(" ");
}

function count(number: number): string {
  return number.toLocaleString("en");
}

function collect(name: string, before: readonly string[] = []): string[] {
  return [...before, name];
}
