import type { Command } from "commander";
import { UsageError } from "../errors.ts";
import { action, createCommand } from "./command.ts";
import { checkedRequest, withRebuildOptions, type RebuildOptions } from "./rebuild-options.ts";
import { runHere } from "./run-here.ts";

const EXAMPLE = "tallyman rebuild --inline --from 2026-11-01 --to 2026-11-20";

/** `rebuild --inline`: rebuilds a range in this process, for a one-off container or cron; needs no Redis. */
export function rebuildCommand(): Command {
  const command = createCommand("rebuild", "Rebuild a range of days in this process, without Redis.", EXAMPLE);
  return withRebuildOptions(command)
    .option("--inline", "do the work here (required; the workers' way is: tallyman backfill)")
    .action(
      action<RebuildOptions & { inline?: true }>(async (options, context) => {
        if (!options.inline) {
          throw new UsageError(
            "rebuild does its work in this process: say --inline. To hand it to the workers, use: tallyman backfill",
          );
        }
        return runHere(context, await checkedRequest(options, context));
      }),
    );
}
