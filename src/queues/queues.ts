import { Queue, type JobsOptions } from "bullmq";
import type { Redis } from "ioredis";
import type { z } from "zod";
import type { Runs } from "../db/postgres/runs.ts";
import type { Lane } from "../db/postgres/slots.ts";
import { PAYLOAD_VERSION, type Job } from "../jobs/job.ts";
import { aggregateDays } from "../jobs/aggregate-days.ts";
import { rebuildRange } from "../jobs/rebuild-range.ts";
import { restoreRows } from "../jobs/restore-rows.ts";

/** One queue a lane: `fresh` for the refresh and the nightly rebuild, `bulk` for everything else. */
export const LANES = ["fresh", "bulk"] as const satisfies readonly Lane[];

/** A queue holds about this many jobs at most; PostgreSQL holds the rest. */
const QUEUE_FULL = 1_000;
const QUEUE_LOW = 500;

/**
 * Nothing finished is kept, since an id that is kept would swallow the next job of that id; attempts are counted in
 * PostgreSQL, so the queue tries once.
 */
const JOB_OPTIONS: JobsOptions = { removeOnComplete: true, removeOnFail: true, attempts: 1 };

/** The queues of one process. Correctness never depends on what they hold: what they lose, dispatch() brings back. */
export class Queues {
  readonly #queues: Readonly<Record<Lane, Queue>>;
  #dispatching: Promise<void> | undefined;
  #again = false;

  constructor(redis: Redis, prefix: string, onError: (error: Error) => void) {
    const create = (lane: Lane) => {
      const queue = new Queue(lane, { connection: redis, prefix, defaultJobOptions: JOB_OPTIONS });
      queue.on("error", onError);
      return queue;
    };
    this.#queues = { fresh: create("fresh"), bulk: create("bulk") };
  }

  /** Adds a job unless one of its id is there. */
  async enqueue<P extends z.ZodType>(job: Job<string, P>, payload: z.output<P>, lane: Lane): Promise<void> {
    await this.#queues[lane].add(job.name, payload, { jobId: job.id(payload) });
  }

  /**
   * Brings the queues up to what PostgreSQL says is due: runs to plan, and chunks, until a queue is full. To enqueue
   * and to reconcile is this one function. Calls that come while it runs share one further run.
   */
  async dispatch(runs: Runs): Promise<void> {
    if (this.#dispatching) {
      this.#again = true;
      return this.#dispatching;
    }
    this.#dispatching = (async () => {
      do {
        this.#again = false;
        for (const lane of LANES) await this.#fill(lane, runs);
      } while (this.#again);
    })().finally(() => {
      this.#dispatching = undefined;
    });
    return this.#dispatching;
  }

  async #fill(lane: Lane, runs: Runs): Promise<void> {
    const queue = this.#queues[lane];
    if ((await queue.getJobCountByTypes("waiting", "prioritized", "delayed")) >= QUEUE_LOW) return;
    const due = await runs.due(lane, QUEUE_FULL);
    const jobs = [
      ...due.runs.map((runId) => entry(rebuildRange, { v: PAYLOAD_VERSION, runId })),
      ...due.chunks.map(({ runId, number, isUndo }) =>
        entry(isUndo ? restoreRows : aggregateDays, { v: PAYLOAD_VERSION, runId, chunk: number }),
      ),
    ];
    if (jobs.length > 0) await queue.addBulk(jobs);
  }

  /** How many jobs each queue holds, by state, for `status`. */
  async counts(): Promise<{ queue: Lane; waiting: number; active: number; delayed: number }[]> {
    return Promise.all(
      LANES.map(async (lane) => {
        const counts = await this.#queues[lane].getJobCounts("waiting", "prioritized", "active", "delayed");
        const waiting = (counts["waiting"] ?? 0) + (counts["prioritized"] ?? 0);
        return { queue: lane, waiting, active: counts["active"] ?? 0, delayed: counts["delayed"] ?? 0 };
      }),
    );
  }

  async close(): Promise<void> {
    await Promise.all(LANES.map((lane) => this.#queues[lane].close()));
  }
}

function entry<P extends z.ZodType>(job: Job<string, P>, payload: z.output<P>) {
  return { name: job.name, data: payload as unknown, opts: { jobId: job.id(payload) } };
}
