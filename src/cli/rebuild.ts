import type { Command } from "commander";
import { EXIT, UsageError } from "../errors.ts";
import { action, createCommand } from "./command.ts";
import { Progress } from "./progress.ts";
import { checkedWish, withRebuildOptions, type RebuildOptions } from "./rebuild-options.ts";
import { problemsText, runText } from "./show-run.ts";
import { exitCodeOf } from "./watch.ts";

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
        const { services, signal, answer } = context;
        const request = services.request({ ...(await checkedWish(options, context)), inline: true });
        const { runInline } = await import("../inline.ts");
        const progress = new Progress();
        try {
          const run = await runInline(services, request, signal, (now) => progress.show(now));
          progress.end();
          const problems = await (await services.runs()).problems(run.id);
          answer({ run, problems }, [runText(run), ...problemsText(problems)].join("\n\n"));
          return exitCodeOf(run);
        } catch (error) {
          progress.end();
          if (!signal.aborted) throw error;
          process.stderr.write(
            "tallyman: interrupted; what was done is kept. The same command goes on with the rest, and so do workers that run.\n",
          );
          return EXIT.failed;
        }
      }),
    );
}
