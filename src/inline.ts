import { setTimeout as sleep } from "node:timers/promises";
import { aggregateDays } from "./jobs/aggregate-days.ts";
import { PAYLOAD_VERSION } from "./jobs/job.ts";
import { rebuildRange } from "./jobs/rebuild-range.ts";
import { restoreRows } from "./jobs/restore-rows.ts";
import type { Run, RunRequest } from "./db/postgres/runs/run.ts";
import { UnreachableError, WorkFailedError } from "./errors.ts";
import { inParallel } from "./in-parallel.ts";
import { TimeLimit } from "./queues/time-limit.ts";
import type { Execution, Services } from "./services.ts";
import type { ChunkPlan } from "./usage/plan.ts";

const POLL_MS = 500;

/**
 * Does a run's work in this process, with the jobs' own code and tables and without Redis, under a lock on the run
 * that lives as long as the process. An unfinished run of the same wish, whose process died, is gone on with.
 *
 * @param onProgress called when the run is planned, and after each chunk
 * @param planned the run's chunks where its range does not tell them: an undo, a repair
 * @throws LockedError when another process is at the same run
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
  // The answer tells the rest; a level that is stricter than this stands.
  const log = services.log.child({}, services.log.isLevelEnabled("warn") ? { level: "warn" } : {});
  const dispatch = () => Promise.resolve(); // there is no queue
  // An undo reads no event: the source may be away.
  const context = request.kind === "undo" ? undefined : await services.jobContext(dispatch);
  const session = await services.session();
  const signal = AbortSignal.any([interrupted, session.lost]); // without its locks this process must not go on
  const runId = await lockAndCreate();
  try {
    if (!planned && context) {
      const payload = { v: PAYLOAD_VERSION, runId } as const;
      await execute((execution) => rebuildRange.run(payload, context(execution)), rebuildRange.timeoutMs);
    }
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
      "The connection to PostgreSQL that holds this process's locks was lost. What was done is kept; the same command goes on with the rest.",
      { cause: error },
    );
  } finally {
    await session.unlockRun(runId);
  }

  /** The lock comes first, so that no worker ever sees the run without it. */
  async function lockAndCreate(): Promise<string> {
    await session.lockRun(request.id);
    const { id, created } = await (planned ? runs.createRunning(request, planned) : runs.create(request));
    if (created) return id;
    await session.unlockRun(request.id);
    await session.lockRun(id);
    return id;
  }

  async function workOn(chunk: number): Promise<void> {
    const payload = { v: PAYLOAD_VERSION, runId, chunk } as const;
    try {
      await (context
        ? execute((execution) => aggregateDays.run(payload, context(execution)), aggregateDays.timeoutMs)
        : execute(({ signal }) => {
            return restoreRows.run(payload, { chunks, runs, dispatch, log, signal });
          }, restoreRows.timeoutMs));
    } catch (err) {
      if (signal.aborted) throw err;
      log.warn({ err, runId, chunk }, "chunk failed"); // it waits for its next try, or has failed for good
    }
    onProgress(await currentRun());
  }

  async function execute<T>(work: (execution: Execution) => Promise<T>, timeoutMs: number): Promise<T> {
    const limit = new TimeLimit(timeoutMs);
    try {
      return await work({ log, signal: AbortSignal.any([signal, limit.signal]), limit });
    } finally {
      limit.stop();
    }
  }

  async function currentRun(): Promise<Run> {
    const run = await runs.get(runId);
    if (!run) throw new WorkFailedError(`run ${runId} was removed while it was worked on`);
    return run;
  }
}
