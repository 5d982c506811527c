import type { RunRequest } from "../db/postgres/runs/request.ts";
import type { Run } from "../db/postgres/runs/run.ts";
import { EXIT } from "../errors.ts";
import type { ChunkPlan } from "../usage/plan.ts";
import type { CommandContext } from "./command.ts";
import { Progress } from "./progress.ts";
import { detailsOf, endText } from "./show-run.ts";
import { complain } from "./terminal.ts";
import { exitCodeOf } from "./watch.ts";

/** Does a run in this process under a progress bar. @param chunks the run's chunks; undefined = it is planned first */
export async function runUnderBar(
  { services, signal }: CommandContext,
  request: RunRequest,
  chunks?: readonly ChunkPlan[],
): Promise<Run> {
  const { runInline } = await import("../execution/inline.ts");
  const progress = new Progress();
  try {
    return await runInline(services, request, signal, (now) => progress.show(now), chunks);
  } finally {
    progress.end();
  }
}

/** The same as a whole command: prints the outcome, also after Ctrl-C. @returns the exit code */
export async function runHere(
  context: CommandContext,
  request: RunRequest,
  chunks?: readonly ChunkPlan[],
): Promise<number> {
  try {
    const run = await runUnderBar(context, request, chunks);
    const details = await detailsOf(await context.services.runs(), run.id);
    context.answer({ run, ...details }, endText(run, details));
    return exitCodeOf(run);
  } catch (error) {
    if (!context.signal.aborted) throw error;
    complain(
      "interrupted; finished work is kept. Run the same command again to resume; running workers resume it too.",
    );
    return EXIT.failed;
  }
}
