import { DelayedError, UnrecoverableError, WaitingError, Worker, type Job as QueueJob } from "bullmq";
import type { Redis } from "ioredis";
import type { QueueName } from "../db/postgres/session.ts";
import { PAYLOAD_VERSION, PermanentError, type Job, type JobContext } from "../jobs/job.ts";
import type { Logger } from "../log.ts";
import { TimeLimit } from "./time-limit.ts";

/** The signal's reason when the process stops: the job goes back without an attempt spent. */
const SHUTDOWN = "shutdown";
/** How long a job of a newer version is left to a newer worker. */
const NEWER_DELAY_MS = 5_000;
/** Jobs that do not end by themselves are cancelled this long after the stop began. */
const GRACE_MS = 5_000;

export interface WorkerOptions {
  readonly queue: QueueName;
  readonly concurrency: number;
  readonly redis: Redis;
  readonly prefix: string;
  readonly jobs: readonly Job[];
  readonly log: Logger;
  /** what a job may use, given what belongs to this one execution */
  readonly context: (execution: { log: Logger; signal: AbortSignal; limit: TimeLimit }) => JobContext;
}

/**
 * Works on one queue. This is the one place that parses, logs, times and cancels jobs; its outcomes are: done; failed
 * (PostgreSQL knows whether to try again); failed for ever (a payload that does not parse); handed back.
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
      removeOnComplete: { count: 0 }, // also for jobs that somebody else added: an id that is kept would block ours
      removeOnFail: { count: 0 },
      maxStalledCount: 1_000_000_000, // a stalled job is no fault of the job; PostgreSQL counts claims
    });
    this.#worker.on("error", (err) => log.error({ err, queue }, "queue error"));
    this.#worker.on("lockRenewalFailed", (ids: string[]) => {
      for (const id of ids) this.#worker.cancelJob(id, "the queue's lock was lost");
    });
  }

  start(): void {
    void this.#worker.run().catch((err: unknown) => this.#options.log.error({ err }, "queue worker ended"));
  }

  /** Milliseconds since a job began or ended here; 0 while one is being worked on. */
  get idleMs(): number {
    return this.#active > 0 ? 0 : Date.now() - this.#lastActivity;
  }

  /** Takes no further job, cancels what does not end within a few seconds, and waits for it. */
  async stop(): Promise<void> {
    const cancel = setTimeout(() => this.#worker.cancelAllJobs(SHUTDOWN), GRACE_MS);
    try {
      await this.#worker.close();
    } finally {
      clearTimeout(cancel);
    }
  }

  async #process(queueJob: QueueJob, token?: string, cancelled?: AbortSignal): Promise<unknown> {
    const { jobs, log: parent, queue } = this.#options;
    const log = parent.child({ queue, job: queueJob.name, id: queueJob.id });
    const job = jobs.find(({ name }) => name === queueJob.name);
    if (!job) throw new Error(`unknown job ${queueJob.name}`); // a newer worker may know it
    const version = (queueJob.data as { v?: unknown } | null)?.v;
    if (typeof version === "number" && version > PAYLOAD_VERSION) {
      log.info({ version }, "job of a newer version handed back");
      await queueJob.moveToDelayed(Date.now() + NEWER_DELAY_MS, token);
      throw new DelayedError();
    }
    const payload = job.payload.safeParse(queueJob.data);
    if (!payload.success) {
      const faults = payload.error.issues.map(({ path, message }) => `${path.join(".") || "payload"}: ${message}`);
      log.error({ faults }, "payload refused");
      throw new UnrecoverableError(`payload refused: ${faults.join("; ")}`);
    }

    const limit = new TimeLimit(job.timeoutMs);
    const signal = AbortSignal.any([limit.signal, ...(cancelled ? [cancelled] : [])]);
    const started = Date.now();
    this.#begin();
    try {
      const result = await job.run(payload.data, this.#options.context({ log, signal, limit }));
      log.info({ ms: Date.now() - started, result }, "job done");
      return result;
    } catch (err) {
      if (cancelled?.aborted && cancelled.reason === SHUTDOWN) {
        log.info({ ms: Date.now() - started }, "job handed back");
        await queueJob.moveToWait(token);
        throw new WaitingError();
      }
      log.error({ ms: Date.now() - started, err }, "job failed");
      if (err instanceof PermanentError) throw new UnrecoverableError(err.message);
      throw err;
    } finally {
      limit.stop();
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
