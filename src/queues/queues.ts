import { Queue, type JobsOptions } from "bullmq";
import type { z } from "zod";
import type { DueChunk, DueRun, DueWork } from "../db/postgres/runs/due.ts";
import type { QueueName } from "../db/postgres/session.ts";
import type { RedisClient } from "../db/redis/connect.ts";
import { CHUNK_JOBS } from "../jobs/index.ts";
import { planRun } from "../jobs/plan-run.ts";
import type { Job } from "../task/job.ts";
import { PAYLOAD_VERSION } from "../task/payload.ts";
import { unlessAborted } from "./within.ts";

/** The queues: `fresh` for the refresh and the nightly rebuild, `bulk` for everything else. */
export const QUEUES = ["fresh", "bulk"] as const satisfies readonly QueueName[];

/** A queue holds about this many jobs at most; PostgreSQL holds the rest. */
const QUEUE_FULL = 1_000;
const QUEUE_LOW = 500;
/** So many of the most urgent chunks are added even to a full queue; those of a new run are among them. */
const QUEUE_FRONT = 50;

/** A process that stops waits no longer for Redis. */
const LAST_WORDS_MS = 3_000;

/** BullMQ's priorities that one urgency takes, of 2^21; the lowest goes first. */
const URGENCY_STEP = 500_000;

/**
 * Finished jobs are removed, since a kept id would swallow the next job of that id. The queue tries once: PostgreSQL
 * counts the attempts.
 */
const JOB_OPTIONS: JobsOptions = { removeOnComplete: true, removeOnFail: true, attempts: 1 };

/** The queues of one process. Correctness never depends on their content: dispatch() adds again what they lose. */
export class Queues {
  readonly #queues: Readonly<Record<QueueName, Queue>>;
  #dispatching: Promise<void> | undefined;
  #again = false;
  readonly #explain: (error: unknown) => Error;
  readonly #gaveUp = new AbortController();
  #isStopping = false;

  /** @param explain what an error of Redis means to an operator; it is thrown instead */
  constructor(
    redis: RedisClient,
    prefix: string,
    onError: (error: Error) => void,
    explain = (error: unknown): Error => error as Error,
  ) {
    this.#explain = explain;
    const create = (name: QueueName) => {
      const queue = new Queue(name, { ...sharedOptions(redis, prefix), defaultJobOptions: JOB_OPTIONS });
      queue.on("error", onError);
      return queue;
    };
    this.#queues = { fresh: create("fresh"), bulk: create("bulk") };
  }

  /** Adds a job unless the queue holds one of its id. */
  async enqueue<P extends z.ZodType>(job: Job<string, P>, payload: z.output<P>, name: QueueName): Promise<void> {
    await this.#asked(() => this.#queues[name].add(job.name, payload, { jobId: job.id(payload) }));
  }

  /**
   * Brings the queues up to what PostgreSQL says is due: runs to plan, and chunks until a queue is full. The most urgent
   * chunks are added to a full queue too, so that a new run does not wait for a long one. Enqueuing and reconciling are
   * this one function. Calls during a dispatch share one further dispatch.
   */
  async dispatch(work: DueWork): Promise<void> {
    if (this.#isStopping) return;
    if (this.#dispatching) {
      this.#again = true;
      return this.#dispatching;
    }
    const fillAll = async () => {
      do {
        this.#again = false;
        for (const name of QUEUES) await this.#fill(name, work);
      } while (this.#again);
    };
    this.#dispatching = fillAll().finally(() => {
      this.#dispatching = undefined;
    });
    return this.#dispatching;
  }

  async #fill(name: QueueName, work: DueWork): Promise<void> {
    const queue = this.#queues[name];
    const held = await this.#asked(() => queue.getJobCountByTypes("waiting", "prioritized", "delayed"));
    const due = await work.of(name, held < QUEUE_LOW ? QUEUE_FULL : QUEUE_FRONT);
    const isPaused = await this.#asked(() => queue.isPaused());
    if (isPaused !== due.paused) await this.#asked(() => (due.paused ? queue.pause() : queue.resume()));
    const jobs = [
      ...inTurn(due.runs).map(({ id, ...place }) => {
        return entry(planRun, { v: PAYLOAD_VERSION, runId: id }, priorityOf(place));
      }),
      ...due.chunks.map((chunk) => {
        const payload = { v: PAYLOAD_VERSION, runId: chunk.runId, chunk: chunk.number } as const;
        return entry(CHUNK_JOBS[chunk.kind], payload, priorityOf(chunk), chunk.lapsed);
      }),
    ];
    if (jobs.length > 0) await this.#asked(() => queue.addBulk(jobs));
  }

  /** How many jobs each queue holds, by state, for `status`. */
  async counts(): Promise<{ queue: QueueName; waiting: number; active: number; delayed: number }[]> {
    return Promise.all(
      QUEUES.map(async (name) => {
        const states = ["waiting", "prioritized", "active", "delayed"] as const;
        const counts = await this.#asked(() => this.#queues[name].getJobCounts(...states));
        const waiting = (counts["waiting"] ?? 0) + (counts["prioritized"] ?? 0);
        return { queue: name, waiting, active: counts["active"] ?? 0, delayed: counts["delayed"] ?? 0 };
      }),
    );
  }

  /** The process stops: nothing more is added, and Redis is waited for some seconds only. */
  stopDispatching(): void {
    this.#isStopping = true;
    setTimeout(
      () => this.#gaveUp.abort(new Error("the process stops before Redis has answered")),
      LAST_WORDS_MS,
    ).unref();
  }

  /** @throws what an error of Redis means to an operator */
  async #asked<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await unlessAborted(this.#gaveUp.signal, ask());
    } catch (error) {
      throw this.#explain(error);
    }
  }

  async close(): Promise<void> {
    await Promise.all(QUEUES.map((name) => this.#queues[name].close()));
  }
}

/**
 * Numbers the runs to plan of each urgency, as the chunks of a run are numbered, so that the two take turns: else many new
 * runs would all be planned before a chunk is worked on.
 */
function inTurn(runs: readonly DueRun[]): (DueRun & { readonly number: number })[] {
  const next = new Map<number, number>();
  return runs.map((run) => {
    const number = next.get(run.urgency) ?? 0;
    next.set(run.urgency, number + 1);
    return { ...run, number };
  });
}

/** Options that the queues and their workers have in common. */
export function sharedOptions(redis: RedisClient, prefix: string) {
  return {
    connection: redis,
    prefix: keyPrefix(redis, prefix),
    skipVersionCheck: true, // it needs the right to INFO, and asks for it again and again
  };
}

/** The prefix of all keys: in a cluster those of one script must be on one node, which braces see to. */
export function keyPrefix(redis: Pick<RedisClient, "isCluster">, prefix: string): string {
  return redis.isCluster && !prefix.includes("{") ? `{${prefix}}` : prefix;
}

/** BullMQ takes jobs without a priority first, so that all have one. */
function priorityOf({ urgency, number }: Pick<DueChunk, "urgency" | "number">): number {
  return 1 + urgency * URGENCY_STEP + Math.min(number, URGENCY_STEP - 1);
}

/**
 * @param lapsed the claim of a process that is gone: the queue still takes its job to be worked on for a while, and would
 *   refuse another one of the same id
 */
function entry<P extends z.ZodType>(
  job: Job<string, P>,
  payload: z.output<P>,
  priority?: number,
  lapsed?: string | null,
) {
  const jobId = lapsed ? `${job.id(payload)}|after ${lapsed}` : job.id(payload);
  const opts = { jobId, ...(priority === undefined ? {} : { priority }) };
  return { name: job.name, data: payload as unknown, opts };
}
