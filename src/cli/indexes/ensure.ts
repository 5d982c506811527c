import type { Command } from "commander";
import { EXIT } from "../../errors.ts";
import { ensureIndexes, OUTCOMES, type EnsureReport } from "../../indexes/index.ts";
import { action, createCommand } from "../command.ts";
import type { Lines } from "../lines.ts";
import { table } from "../table.ts";
import { tell } from "../terminal.ts";
import { again, withIndexes, withIndexFlags, type IndexFlags } from "./options.ts";

interface EnsureFlags extends IndexFlags {
  readonly allowBlocking?: true;
  readonly replace?: true;
  readonly allOrNothing?: true;
}

/** `indexes ensure`: creates the declared indexes that are missing, in both databases. */
export function ensureCommand(): Command {
  const command = createCommand(
    "ensure",
    "Create the declared indexes that are missing, online.",
    "tallyman indexes ensure --engine postgres",
  );
  return withIndexFlags(command)
    .option("--allow-blocking", "build also where the server blocks writers meanwhile (FerretDB)")
    .option("--replace", "replace, online, indexes that have a declared name but another definition")
    .option("--all-or-nothing", "if one index fails, take back what this run created")
    .action(
      action<EnsureFlags>(async (flags, context) => {
        const { signal, answer } = context;
        const report = await withIndexes(context, flags, (targets) =>
          ensureIndexes({
            ...targets,
            signal,
            allowBlocking: flags.allowBlocking === true,
            replace: flags.replace === true,
            allOrNothing: flags.allOrNothing === true,
            onProgress: tell,
          }),
        );
        if (report.entries.some((entry) => entry.action === "refused")) {
          tell(`To build the refused indexes, in a quiet hour: ${again("ensure", flags, "--allow-blocking")}`);
        }
        if (!flags.replace && report.entries.some((entry) => entry.action === "different")) {
          tell(`To replace the different indexes, online: ${again("ensure", flags, "--replace")}`);
        }
        answer(report, ensureText(report, flags));
        return exitCodeOf(report);
      }),
    );
}

function exitCodeOf({ ok, entries }: EnsureReport): number {
  if (ok) return EXIT.done;
  return entries.some((entry) => entry.action === "failed") ? EXIT.failed : EXIT.found;
}

type Entry = EnsureReport["entries"][number];

/** The report for a person: each index, then the counts of each table and collection. */
export function ensureText({ runId, entries, undone }: EnsureReport, { manifest }: IndexFlags): Lines {
  const rows = entries.map(({ engine, target, name, action: what, detail }) => [
    engine,
    target,
    name,
    what,
    detail ?? null,
  ]);
  const isNew = ({ action: what }: Entry) => OUTCOMES[what].isNew;
  const isWanting = ({ action: what }: Entry) => !OUTCOMES[what].isAsDeclared;
  const targets = [...new Set(entries.map(({ target }) => target))].map((target) => {
    const own = entries.filter((entry) => entry.target === target);
    const [fresh, wanting] = [own.filter(isNew).length, own.filter(isWanting).length];
    return `${target}: ${own.length - wanting} of ${own.length} declared indexes (${fresh} new)`;
  });
  const created = entries.filter(isNew).length;
  const summary =
    `${entries.length} declared, ${created} created or repaired, ${entries.filter(isWanting).length} not as declared.` +
    (created > 0 && !undone
      ? ` To take this run back: ${again("rollback", manifest === undefined ? {} : { manifest }, "--run", runId)}`
      : "") +
    (undone
      ? ` What this run created was taken back: ${undone.map(({ name }) => name || "the collection").join(", ")}.`
      : "");
  return [...table(["engine", "target", "index", "result", "why"], rows), ...targets, summary];
}
