import type { Command } from "commander";
import { EXIT } from "../../errors.ts";
import { checkIndexes, type CheckReport, type IndexFinding, type TargetFinding } from "../../indexes/index.ts";
import { action, createCommand } from "../command.ts";
import { blocks, type Lines } from "../lines.ts";
import { table } from "../table.ts";
import { again, withIndexes, withIndexFlags, type IndexFlags } from "./options.ts";
import { watching, withWatch, type WatchFlags } from "./watching.ts";

type CheckFlags = IndexFlags & WatchFlags & { readonly strict?: true };

/** `indexes check`: compares the databases with the manifest. */
export function checkCommand(): Command {
  const command = createCommand(
    "check",
    "Compare the indexes of both databases with the manifest; changes nothing.",
    "tallyman indexes check --manifest petbuddy --strict",
  );
  return withWatch(withIndexFlags(command))
    .option("--strict", "exit with 2 also for duplicate, redundant, extra and too many indexes")
    .action(
      action<CheckFlags>(async (flags, context) => {
        return watching(flags, context, () =>
          withIndexes(context, flags, async (targets) => {
            const report = await checkIndexes({ ...targets, signal: context.signal });
            context.answer(report, checkText(report, flags));
            const advised = flags.strict === true && report.targets.some(({ advice }) => advice.length > 0);
            return report.ok && !advised ? EXIT.done : EXIT.found;
          }),
        );
      }),
    );
}

/** The report for a person: the counts of each table and collection, then every index and every piece of advice. */
export function checkText({ targets, ok }: CheckReport, flags: CheckFlags): Lines {
  const rows = targets.flatMap(({ target, indexes, advice }) => [
    ...indexes.map(({ name, status, isNew, detail }) => [target, name, isNew ? "ok (new)" : status, detail ?? null]),
    ...advice
      .filter(({ kind }) => kind !== "extra" && kind !== "invalid") // these have a row among the indexes
      .map(({ kind, name, text }) => [target, name ?? null, `advice: ${kind}`, text]),
  ]);
  const lines = targets.map(countLine);
  const count = targets.reduce((sum, { advice }) => sum + advice.length, 0);
  const advised =
    count === 0
      ? ""
      : ` ${count} ${count === 1 ? "piece" : "pieces"} of advice${flags.strict ? ", which --strict counts (exit 2)" : ""}.`;
  const summary = ok
    ? `Every declared index exists, is valid and as declared.${advised}`
    : `Not as declared. To see what ensure would do: ${again("plan", flags)}`;
  return blocks(lines, [...table(["target", "index", "status", "why"], rows), summary]);
}

function countLine({ engine, target, isMissing, count, indexes, advice }: TargetFinding): string {
  if (isMissing) return `${engine} ${target}: does not exist`;
  const tally = (label: string, number: number) => (number > 0 ? [`${number} ${label}`] : []);
  const of = (...wanted: IndexFinding["status"][]) => indexes.filter(({ status }) => wanted.includes(status)).length;
  const parts = [
    ...tally("new", indexes.filter(({ isNew }) => isNew).length),
    ...tally("missing", of("missing")),
    ...tally("different", of("different", "attrs")),
    ...tally("invalid", of("invalid-create", "invalid-drop", "invalid-foreign")),
    ...tally("building", of("building")),
    ...tally("extra", of("extra")),
    ...tally("duplicate", advice.filter(({ kind }) => kind === "duplicate").length),
    ...tally("redundant", advice.filter(({ kind }) => kind === "redundant").length),
    ...tally("over budget", advice.filter(({ kind }) => kind === "over-budget").length),
  ];
  return `${engine} ${target}: ${count} indexes${parts.length > 0 ? ` (${parts.join(", ")})` : ""}`;
}
