import type { Command } from "commander";
import { UsageError } from "../errors.ts";
import { action, createCommand, createGroup, defaultRequester, parseCount, parseRunId } from "./command.ts";
import { enqueueDue } from "./enqueue.ts";
import { detailsOf, endText, runsTable, runText } from "./show-run.ts";
import { tell } from "./terminal.ts";
import { undoCommand } from "./undo.ts";
import { exitCodeOf, findRun, followRun, watchRun } from "./watch.ts";

const ID = "5f0c4e1a-7c1e-4def-8123-456789abcdef";

/** `runs list | show | cancel | resume | undo`: requested runs, their outcome, and what can be done about them. */
export function runsCommand(): Command {
  const list = createCommand("list", "List the newest runs.", "tallyman runs list --limit 50")
    .option("--limit <count>", "how many", parseCount, 20)
    .action(
      action<{ limit: number }>(async ({ limit }, { services, answer }) => {
        const runs = await (await services.runs()).list(limit);
        answer({ runs }, runsTable(runs));
        return undefined;
      }),
    );

  const show = createCommand(
    "show",
    "Show one run, its failures, and the rows it refused to write.",
    `tallyman runs show ${ID}`,
  )
    .argument("<id>", "the run's id", parseRunId)
    .option("--watch", "follow it to its end; with --json, one document a line")
    .action((id: string, given: { json?: true; watch?: true }) =>
      action<typeof given>(async ({ watch }, { services, signal, json, answer }) => {
        const runs = await services.runs();
        if (watch) {
          await watchRun(runs, id, signal, (run) => {
            if (json) answer({ run }, "");
          });
        }
        const run = await findRun(runs, id);
        const details = await detailsOf(runs, id);
        if (!watch || !json) answer({ run, ...details }, endText(run, details));
        if (watch && signal.aborted) tell("The run continues.");
        return watch ? exitCodeOf(run) : undefined;
      })(given),
    );

  const cancel = createCommand(
    "cancel",
    "Cancel a run: it writes no further row. Rows already written stay.",
    `tallyman runs cancel ${ID}`,
  )
    .argument("<id>", "the run's id", parseRunId)
    .option("--by <name>", "who cancels it, for the run's record (default: user@host)")
    .action((id: string, given: { json?: true; by?: string }) =>
      action<typeof given>(async ({ by }, { services, answer }) => {
        const { cancelRun } = await import("../db/postgres/runs/control.ts");
        const runs = await services.runs();
        const before = await cancelRun(await services.pool(), id, by ?? defaultRequester());
        const run = await findRun(runs, id);
        if (before !== "planned" && before !== "running") throw new UsageError(`Run ${id} is ${before} already.`);
        answer({ run }, [...runText(run), `Resume it with: tallyman runs resume ${id}`]);
        return undefined;
      })(given),
    );

  const resume = createCommand(
    "resume",
    "Resume a failed or cancelled run: its failed tenant-days, and those it did not reach.",
    `tallyman runs resume ${ID}`,
  )
    .argument("<id>", "the run's id", parseRunId)
    .option("--watch", "follow it to its end")
    .action((id: string, given: { json?: true; watch?: true }) =>
      action<typeof given>(async ({ watch }, context) => {
        const { services, answer } = context;
        const { resumeRun } = await import("../db/postgres/runs/control.ts");
        const queues = await services.queues();
        const runs = await services.runs();
        const missing = await resumeRun(await services.agreedPool(), id, services.settings.hash);
        await enqueueDue(services, queues);
        if (!watch) {
          const text = missing === undefined ? "The run is planned again." : `${missing} tenant-days are left to do.`;
          answer({ missing, run: await findRun(runs, id) }, `${text} Follow it with: tallyman runs show ${id} --watch`);
          return undefined;
        }
        return followRun(runs, id, { missing }, context);
      })(given),
    );

  const description = "List runs, show one, cancel, resume or undo it.";
  return createGroup("runs", description, "tallyman runs list", [list, show, cancel, resume, undoCommand()]);
}
