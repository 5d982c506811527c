import type { Command } from "commander";
import { EXIT, UsageError } from "../../errors.ts";
import {
  planRollback,
  rollbackIndexes,
  type RollbackRequest,
  newestUndoableRun,
  type UndoneEntry,
} from "../../indexes/index.ts";
import { action, createCommand, parseRunId } from "../command.ts";
import type { Lines } from "../lines.ts";
import { table } from "../table.ts";
import { ask, canAsk, tell } from "../terminal.ts";
import { again, withIndexes, withIndexFlags, type IndexFlags } from "./options.ts";

interface RollbackFlags extends IndexFlags {
  readonly run?: string;
  readonly index?: string;
  readonly all?: true;
  readonly yes?: true;
  readonly dryRun?: true;
  readonly allowBlocking?: true;
}

/** `indexes rollback`: takes back the changes of ensure, and nothing else. */
export function rollbackCommand(): Command {
  const command = createCommand(
    "rollback",
    "Take back the newest run that changed anything: drop the indexes it created, bring back those it replaced.",
    "tallyman indexes rollback --manifest earlybird --yes",
  );
  return withIndexFlags(command)
    .option("--run <id>", "take back this run; ensure prints its id", parseRunId)
    .option("--index <name>", "take back only this index, from whichever run")
    .option("--all", "take back every run of this manifest")
    .option("--dry-run", "print what would be taken back, and change nothing")
    .option("--yes", "do not ask")
    .option("--allow-blocking", "bring indexes back also where the server blocks writers meanwhile (FerretDB)")
    .action(
      action<RollbackFlags>(async (flags, context) => {
        const { run, index, all, yes, dryRun, phase, allowBlocking = false } = flags;
        if ([run, index, all].filter((flag) => flag !== undefined).length > 1)
          throw new UsageError("--run, --index and --all exclude each other. Keep one.");
        const request: RollbackRequest = {
          ...(run === undefined ? {} : { runId: run }),
          ...(index === undefined ? {} : { index }),
          ...(all ? { all } : {}),
          declaredOnly: phase !== undefined,
        };
        return withIndexes(context, flags, async (targets) => {
          const options = { ...targets, signal: context.signal, allowBlocking, onProgress: tell };
          const planned = await planRollback(options, request);
          if (index !== undefined && planned.length === 0)
            throw new UsageError(`the keeper made no index ${index} that still exists. See: ${again("check", flags)}`);
          if (!planned.some(({ action: what }) => what === "drop" || what === "restore")) {
            const older = planned.length === 0 ? await newestUndoableRun(options) : undefined;
            const hint =
              older === undefined ? "" : ` To take back an older run: ${again("rollback", flags, "--run", older)}`;
            context.answer({ undone: planned }, [
              ...undoneTable(planned),
              `The newest run has nothing left to take back.${hint}`,
            ]);
            return planned.some(({ action: what }) => what === "kept") ? EXIT.found : EXIT.done;
          }
          if (dryRun === true) {
            context.answer({ planned }, [...undoneTable(planned), "Nothing was changed."]);
            return EXIT.done;
          }
          if (yes !== true && !(await isAgreed(planned))) {
            tell("Nothing was changed.");
            return EXIT.failed;
          }
          const undone = await rollbackIndexes(options, { ...request, agreed: planned });
          const count = undone.filter(({ action: what }) => what === "dropped" || what === "restored").length;
          const kept = undone.filter(({ action: what }) => what === "kept").length;
          context.answer({ undone }, [...undoneTable(undone), `${count} taken back, ${kept} kept.`]);
          return kept > 0 ? EXIT.found : EXIT.done;
        });
      }),
    );
}

/** @throws UsageError without a terminal to ask at */
async function isAgreed(planned: readonly UndoneEntry[]): Promise<boolean> {
  tell(undoneTable(planned));
  if (!canAsk()) throw new UsageError("There is no terminal to ask at. To take it back without asking, add --yes.");
  return /^y(es)?$/i.test((await ask("Take this back? [y/N] ")).trim());
}

/** The entries as a table; no line if there is none. */
export function undoneTable(entries: readonly UndoneEntry[]): Lines {
  if (entries.length === 0) return [];
  const rows = entries.map(({ engine, target, name, runId, action: what, detail }) => [
    engine,
    target,
    name === "" ? "(the collection)" : name,
    what,
    detail || null,
    runId,
  ]);
  return table(["engine", "target", "index", "result", "why", "made by run"], rows);
}
