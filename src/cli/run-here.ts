import type { RunRequest } from "../db/postgres/runs/request.ts";
import type { Run } from "../db/postgres/runs/run.ts";
import { EXIT } from "../errors.ts";
import type { ChunkPlan } from "../usage/plan.ts";
import type { CommandContext } from "./command.ts";
import { Progress } from "./progress.ts";
import { endText } from "./show-run.ts";
import { exitCodeOf } from "./watch.ts";

/** Does a run in this process under a progress bar. @param chunks what it consists of; without them it is planned */
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

/** The same as a whole command: tells how it ended, also where Ctrl-C ended it. @returns the exit code */
export async function runHere(
  context: CommandContext,
  request: RunRequest,
  chunks?: readonly ChunkPlan[],
): Promise<number> {
  try {
    const run = await runUnderBar(context, request, chunks);
    const problems = await (await context.services.runs()).problems(run.id);
    context.answer({ run, problems }, endText(run, problems));
    return exitCodeOf(run);
  } catch (error) {
    if (!context.signal.aborted) throw error;
    process.stderr.write(
      "tallyman: interrupted; what was done is kept. The same command goes on with the rest, and so do workers that run.\n",
    );
    return EXIT.failed;
  }
}
