import type { Command } from "commander";
import { UsageError } from "../errors.ts";
import { action, createCommand } from "./command.ts";
import { printDryRun } from "./dry-run.ts";
import { enqueueDue } from "./enqueue.ts";
import { checkedRequest, priorityOption, withRebuildOptions, type RebuildOptions } from "./rebuild-options.ts";
import { runText } from "./show-run.ts";
import { tell } from "./terminal.ts";
import { findRun, followRun } from "./watch.ts";

const EXAMPLE = `tallyman backfill --from 2026-10-01 --to 2026-10-31 --tenant acme --reason "late imports" --watch`;

/** `backfill`: asks the workers to rebuild a range. */
export function backfillCommand(): Command {
  const command = createCommand("backfill", "Ask the workers to rebuild a range of days.", EXAMPLE);
  return withRebuildOptions(command)
    .addOption(priorityOption())
    .option("--dry-run", "compute everything here, write nothing, and print what would change")
    .option("--watch", "follow the run to its end (Ctrl-C leaves it running); with --json, one document a line")
    .action(
      action<RebuildOptions & { watch?: true; dryRun?: true }>(async (options, context) => {
        if (options.dryRun) {
          if (options.watch) throw new UsageError("--dry-run starts no run that --watch could follow. Leave one out.");
          return printDryRun(options, context);
        }
        const { services, answer } = context;
        const request = await checkedRequest(options, context);
        const queues = await services.queues(); // before the run is stored: without Redis no queue could carry it
        const runs = await services.runs();
        const { id, created } = await runs.create(request);
        await enqueueDue(services, queues);
        if (!created)
          tell("An unfinished run covers the same range already; it is shown here, with its own reason and priority.");
        if (!options.watch) {
          const run = await findRun(runs, id);
          answer({ created, run }, [...runText(run), `Follow it with: tallyman runs show ${id}`]);
          return undefined;
        }
        return followRun(runs, id, { created }, context);
      }),
    );
}
