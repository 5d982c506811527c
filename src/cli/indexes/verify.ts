import type { Command } from "commander";
import { EXIT, UsageError } from "../../errors.ts";
import { formatMs, type VerifyEntry, verifyIndexes, type VerifyReport } from "../../indexes/index.ts";
import { action, createCommand } from "../command.ts";
import { table } from "../table.ts";
import { again, tell, withIndexes, withIndexFlags, type IndexFlags } from "./options.ts";
import { watching, withWatch, type WatchFlags } from "./watching.ts";

interface VerifyFlags extends IndexFlags, WatchFlags {
  readonly target?: string;
  readonly index?: readonly string[];
}

/** `indexes verify`: whether the queries that the indexes exist for use them, on the live data. */
export function verifyCommand(): Command {
  const command = createCommand(
    "verify",
    "Explain the queries that each index exists for on the live data, and compare with what is promised.",
    "tallyman indexes verify --manifest petbuddy --index facebookChatId_1",
  );
  return withWatch(withIndexFlags(command))
    .option("--target <name>", "only queries of this collection or schema.table")
    .option("--index <name>", "only queries of this index; may be given again", collect)
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
              `no contract of ${[target ?? [], indexes ?? []].flat().join(" ")} is declared; see: ${again("show", flags)}`,
            );
          }
          answer(report, verifyText(report));
          return report.ok ? EXIT.done : EXIT.found;
        });
      }),
    );
}

/** The report for a person: a line for each contract, then what its table has no room for. */
export function verifyText({ entries, ok }: VerifyReport): string {
  if (entries.length === 0) return "No contract is declared.";
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
  return [
    table(["of", "index", "query", "verdict", "examined/returned", "ms", "why"], rows),
    ...(checks.length > 0
      ? [`Not told by this server, so not checked for ${unchecked.length} of them: ${checks.join(", ")}.`]
      : []),
    `${entries.length} contracts: ${tally.join(", ")}. ${ok ? "All as promised." : `${broken} not as promised.`}`,
  ].join("\n");
}

/** What it took against what is promised, and against what a document tells of a database without the index. */
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
