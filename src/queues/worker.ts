import { setTimeout as sleep } from "node:timers/promises";
import { DelayedError, UnrecoverableError, WaitingError, Worker, type Job as QueueJob } from "bullmq";
import type { QueueName } from "../db/postgres/session.ts";
import type { RedisClient } from "../db/redis/connect.ts";
import type { Logger } from "../log.ts";
import type { Executor } from "../task/executor.ts";
import { NewerVersionError, PermanentError, type Job } from "../task/job.ts";
import { sharedOptions } from "./queues.ts";
import { within } from "./within.ts";

/** The signal's reason when the process stops: the job goes back without an attempt spent. */
const SHUTDOWN = "shutdown";
/** A job of a newer version is delayed so long, for a newer worker to take it. */
const NEWER_DELAY_MS = 5_000;
/** Jobs still running this long after the stop began are cancelled. */
const GRACE_MS = 5_000;
/** At the stop Redis is waited for no longer: what it would be told is found out anyway. */
const LAST_WORDS_MS = 3_000;
/**
 * A job that nobody works on any more is given out again after the two together: one whose worker died, or that was given out
 * in an answer that never arrived. All workers need the same, since Redis remembers when the last one looked.
 */
const LOCK_MS = 15_000;
const STALLED_MS = 5_000;
/** A job that is cancelled at its time limit ends within this time, unless it hangs. */
const LATE_MS = 10 * 60_000;
/** After an error of the queue the next job is asked for after so long. */
const PAUSE_MS = 1_000;

export interface WorkerOptions {
  readonly queue: QueueName;
  readonly concurrency: number;
  readonly redis: RedisClient;
  readonly prefix: string;
  readonly jobs: readonly Job[];
  readonly log: Logger;
  readonly executor: Executor;
  /** called for each error of the queue, of which there may be many */
  readonly onError: (error: Error, queue: QueueName) => void;
}

/** The activity of one queue's worker. */
export interface Activity {
  readonly queue: QueueName;
  /** number of jobs that run */
  readonly active: number;
  /** those of them that have given no sign for longer than they ever should */
  readonly hanging: number;
  /** milliseconds since a job began or ended, or gave a sign that it gets on */
  readonly idleMs: number;
}

/**
 * The library asks for the next job again at once if Redis answers with an error, whichever it is (no right, no memory, no
 * disk), and would keep a core busy with it.
 */
class PausingWorker extends Worker {
  /** The library calls it without a time after an error while it waits for a job. */
  override delay(ms?: number, ...rest: unknown[]): Promise<void> {
    return super.delay(ms ?? PAUSE_MS, ...(rest as []));
  }

  protected override async moveToActive(token: string, name?: string): ReturnType<Worker["moveToActive"]> {
    try {
      return await super.moveToActive(token, name);
    } catch (error) {
      await sleep(PAUSE_MS);
      throw error;
    }
  }
}

/**
 * Takes the jobs of one queue to the executor, and tells the queue how each ended: done; failed (PostgreSQL decides
 * about another try); failed for good (a payload that does not parse); handed back.
 */
export class QueueWorker {
  readonly #worker: Worker;
  readonly #options: WorkerOptions;
  /** when each running job last gave a sign, and how long it may give none */
  readonly #running = new Map<object, { lastSign: number; readonly quietMs: number }>();
  #lastSign = Date.now();
  #onIdle: () => void = () => undefined;
  #isStopped = false;

  constructor(options: WorkerOptions) {
    this.#options = options;
    const { queue, concurrency, redis, prefix, log, onError } = options;
    this.#worker = new PausingWorker(queue, (job, token, signal) => this.#process(job, token, signal), {
      ...sharedOptions(redis, prefix),
      concurrency,
      runRetryDelay: PAUSE_MS,
      autorun: false,
      removeOnComplete: { count: 0 }, // also for jobs that others added: a kept id would block ours
      removeOnFail: { count: 0 },
      lockDuration: LOCK_MS,
      stalledInterval: STALLED_MS,
      maxStalledCount: 1_000_000_000, // PostgreSQL counts claims, so the queue need not
    });
    this.#worker.on("error", (error) => {
      if (!this.#isStopped) onError(error, queue);
    });
    this.#worker.on("lockRenewalFailed", (ids: string[]) => {
      // They go on: whoever else gets them from the queue finds their claims in PostgreSQL, and Redis is told at their end.
      log.info({ queue, ids }, "the queue has given up jobs that run here, since Redis was away");
    });
  }

  start(): void {
    void this.#worker.run().catch((err: unknown) => this.#options.log.error({ err }, "queue worker ended"));
  }

  /** The activity of this worker, for /livez. */
  get activity(): Activity {
    const running = [...this.#running.values()];
    const now = Date.now();
    const hanging = running.filter(({ lastSign, quietMs }) => now - lastSign > quietMs).length;
    return { queue: this.#options.queue, active: running.length, hanging, idleMs: now - this.#lastSign };
  }

  /**
   * Takes no further job, cancels jobs that do not end within a few seconds, and waits for their end; for Redis it waits
   * only some seconds more.
   */
  async stop(): Promise<void> {
    const cancel = setTimeout(() => this.#worker.cancelAllJobs(SHUTDOWN), GRACE_MS);
    const closing = this.#worker.close();
    try {
      await Promise.race([closing, this.#idle().then(() => within(LAST_WORDS_MS, closing))]);
    } finally {
      clearTimeout(cancel);
      this.#isStopped = true; // what still fails is the end of the connections
    }
  }

  /** Resolves when no job runs. */
  #idle(): Promise<void> {
    if (this.#running.size === 0) return Promise.resolve();
    return new Promise((resolve) => (this.#onIdle = resolve));
  }

  async #process(queueJob: QueueJob, token?: string, cancelled?: AbortSignal): Promise<unknown> {
    const { jobs, executor, log: parent, queue } = this.#options;
    const log = parent.child({ queue, job: queueJob.name, id: queueJob.id });
    const job = jobs.find(({ name, formerNames }) => name === queueJob.name || formerNames?.includes(queueJob.name));
    if (!job) throw new Error(`unknown job ${queueJob.name}`); // a newer worker may know it
    const run = { lastSign: Date.now(), quietMs: job.quietMs ?? job.timeoutMs + LATE_MS };
    const onProgress = () => (run.lastSign = this.#lastSign = Date.now());
    this.#running.set(run, run);
    try {
      const given = { log, signal: cancelled ?? new AbortController().signal, onProgress };
      return await executor.executeJob(job, queueJob.data, given);
    } catch (error) {
      if (error instanceof NewerVersionError) {
        log.info({ version: error.version }, "job of a newer version handed back");
        await queueJob.moveToDelayed(Date.now() + NEWER_DELAY_MS, token);
        throw new DelayedError();
      }
      if (cancelled?.aborted && cancelled.reason === SHUTDOWN) {
        await within(LAST_WORDS_MS, queueJob.moveToWait(token));
        throw new WaitingError();
      }
      if (error instanceof PermanentError) throw new UnrecoverableError(error.message);
      throw error;
    } finally {
      this.#running.delete(run);
      this.#lastSign = Date.now();
      if (this.#running.size === 0) this.#onIdle();
    }
  }
}
