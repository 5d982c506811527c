import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { CHUNK_JOBS } from "../jobs/index.ts";
import { planRun } from "../jobs/plan-run.ts";
import type { RunRequest } from "../db/postgres/runs/request.ts";
import { chunkKindOf, type Run } from "../db/postgres/runs/run.ts";
import { UnreachableError, WorkFailedError } from "../errors.ts";
import { inParallel } from "../in-parallel.ts";
import type { Services } from "../services.ts";
import type { ChunkPlan } from "../usage/plan.ts";
import type { Job } from "../task/job.ts";
import { PAYLOAD_VERSION, type chunkPayload } from "../task/payload.ts";
import { commandExecutor, commandLog } from "./supply.ts";

const POLL_MS = 500;

/**
 * Does a run's work in this process, with the jobs' own code and tables and without Redis, under a lock on the run
 * that lives as long as the process. An unfinished run of the same request, whose process died, is resumed.
 *
 * @param onProgress called when the run is planned, and after each chunk
 * @param planned the run's chunks, for an undo or a repair; undefined = the run is planned first
 * @throws LockedError when another process works on the same run
 */
export async function runInline(
  services: Services,
  request: RunRequest,
  interrupted: AbortSignal,
  onProgress: (run: Run) => void,
  planned?: readonly ChunkPlan[],
): Promise<Run> {
  const runs = await services.runs();
  const chunks = await services.chunks();
  const log = commandLog(services.log);
  const executor = commandExecutor(services);
  const chunkJob: Job<string, typeof chunkPayload> = CHUNK_JOBS[chunkKindOf(request.kind)];
  await executor.prepare([chunkJob]); // an undo reads no event: the source may be away
  const session = await services.session();
  const signal = AbortSignal.any([interrupted, session.lost]); // without its locks this process must not go on
  const runId = await lockAndCreate();
  try {
    if (!planned) await executor.execute(planRun, { v: PAYLOAD_VERSION, runId }, { log, signal });
    onProgress(await currentRun());
    for (;;) {
      const numbers = await chunks.claimable(runId);
      if (numbers.length > 0) {
        await inParallel(numbers, services.config.workerConcurrency, workOn);
        continue;
      }
      await runs.finish(runId);
      const run = await currentRun();
      if (run.state !== "running") return run;
      signal.throwIfAborted();
      await sleep(POLL_MS); // a chunk waits for its next try
    }
  } catch (error) {
    if (!session.lost.aborted || interrupted.aborted) throw error;
    throw new UnreachableError(
      "The connection to PostgreSQL that holds this process's locks was lost. Finished work is kept; run the same command again to resume.",
      { cause: error },
    );
  } finally {
    await session.unlockRun(runId);
  }

  /** Locks before it inserts, so that no worker ever sees the run unlocked. */
  async function lockAndCreate(): Promise<string> {
    const own = request.id ?? randomUUID();
    await session.lockRun(own);
    const asked = { ...request, id: own, inline: true };
    const { id, created } = await (planned ? runs.createRunning(asked, planned) : runs.create(asked));
    if (created) return id;
    await session.unlockRun(own);
    await session.lockRun(id);
    return id;
  }

  async function workOn(chunk: number): Promise<void> {
    try {
      await executor.execute(chunkJob, { v: PAYLOAD_VERSION, runId, chunk }, { log, signal });
    } catch (err) {
      if (signal.aborted) throw err;
      log.warn({ err, runId, chunk }, "chunk failed"); // the chunk waits for its next try, or has failed for good
    }
    onProgress(await currentRun());
  }

  async function currentRun(): Promise<Run> {
    const run = await runs.get(runId);
    if (!run) throw new WorkFailedError(`run ${runId} was removed while it was worked on`);
    return run;
  }
}
