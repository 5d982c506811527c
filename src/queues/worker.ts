import { DelayedError, UnrecoverableError, WaitingError, Worker, type Job as QueueJob } from "bullmq";
import type { Redis } from "ioredis";
import type { QueueName } from "../db/postgres/session.ts";
import type { Logger } from "../log.ts";
import type { Executor } from "../task/executor.ts";
import { NewerVersionError, PermanentError, type Job } from "../task/job.ts";

/** The signal's reason when the process stops: the job goes back without an attempt spent. */
const SHUTDOWN = "shutdown";
/** A job of a newer version is delayed so long, for a newer worker to take it. */
const NEWER_DELAY_MS = 5_000;
/** Jobs still running this long after the stop began are cancelled. */
const GRACE_MS = 5_000;

export interface WorkerOptions {
  readonly queue: QueueName;
  readonly concurrency: number;
  readonly redis: Redis;
  readonly prefix: string;
  readonly jobs: readonly Job[];
  readonly log: Logger;
  readonly executor: Executor;
}

/**
 * Takes the jobs of one queue to the executor, and tells the queue how each ended: done; failed (PostgreSQL decides
 * about another try); failed for good (a payload that does not parse); handed back.
 */
export class QueueWorker {
  readonly #worker: Worker;
  readonly #options: WorkerOptions;
  #lastActivity = Date.now();
  #active = 0;

  constructor(options: WorkerOptions) {
    this.#options = options;
    const { queue, concurrency, redis, prefix, log } = options;
    this.#worker = new Worker(queue, (job, token, signal) => this.#process(job, token, signal), {
      connection: redis,
      prefix,
      concurrency,
      autorun: false,
      removeOnComplete: { count: 0 }, // also for jobs that others added: a kept id would block ours
      removeOnFail: { count: 0 },
      maxStalledCount: 1_000_000_000, // PostgreSQL counts claims, so the queue need not
    });
    this.#worker.on("error", (err) => log.error({ err, queue }, "queue error"));
    this.#worker.on("lockRenewalFailed", (ids: string[]) => {
      log.warn({ queue, ids }, "the queue's lock on jobs was lost, so they are cancelled here");
      for (const id of ids) this.#worker.cancelJob(id, "the queue's lock was lost");
    });
  }

  start(): void {
    void this.#worker.run().catch((err: unknown) => this.#options.log.error({ err }, "queue worker ended"));
  }

  /** Milliseconds since a job began or ended here; 0 while a job runs. */
  get idleMs(): number {
    return this.#active > 0 ? 0 : Date.now() - this.#lastActivity;
  }

  /** Takes no further job, cancels jobs that do not end within a few seconds, and waits for their end. */
  async stop(): Promise<void> {
    const cancel = setTimeout(() => this.#worker.cancelAllJobs(SHUTDOWN), GRACE_MS);
    try {
      await this.#worker.close();
    } finally {
      clearTimeout(cancel);
    }
  }

  async #process(queueJob: QueueJob, token?: string, cancelled?: AbortSignal): Promise<unknown> {
    const { jobs, executor, log: parent, queue } = this.#options;
    const log = parent.child({ queue, job: queueJob.name, id: queueJob.id });
    const job = jobs.find(({ name, formerNames }) => name === queueJob.name || formerNames?.includes(queueJob.name));
    if (!job) throw new Error(`unknown job ${queueJob.name}`); // a newer worker may know it
    this.#begin();
    try {
      const given = { log, signal: cancelled ?? new AbortController().signal };
      return await executor.executeJob(job, queueJob.data, given);
    } catch (error) {
      if (error instanceof NewerVersionError) {
        log.info({ version: error.version }, "job of a newer version handed back");
        await queueJob.moveToDelayed(Date.now() + NEWER_DELAY_MS, token);
        throw new DelayedError();
      }
      if (cancelled?.aborted && cancelled.reason === SHUTDOWN) {
        await queueJob.moveToWait(token);
        throw new WaitingError();
      }
      if (error instanceof PermanentError) throw new UnrecoverableError(error.message);
      throw error;
    } finally {
      this.#end();
    }
  }

  #begin(): void {
    this.#active++;
    this.#lastActivity = Date.now();
  }

  #end(): void {
    this.#active--;
    this.#lastActivity = Date.now();
  }
}
