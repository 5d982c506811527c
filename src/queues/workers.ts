import type { QueueName } from "../db/postgres/session.ts";
import type { RedisClient } from "../db/redis/connect.ts";
import { JOBS } from "../jobs/index.ts";
import type { Logger } from "../log.ts";
import { QUEUES } from "./queues.ts";
import { QueueWorker, type Activity, type WorkerOptions } from "./worker.ts";

/** What the workers of a process share. */
export interface WorkersOptions extends Pick<WorkerOptions, "prefix" | "executor" | "onError"> {
  /** jobs of `bulk` at once; of `fresh` it is one */
  readonly concurrency: number;
  readonly log: Logger;
}

/** The workers of one process, one for each queue. */
export class Workers {
  readonly #options: WorkersOptions;
  readonly #redis: RedisClient;
  readonly #workers = new Map<QueueName, QueueWorker>();

  constructor(redis: RedisClient, options: WorkersOptions) {
    this.#redis = redis;
    this.#options = options;
  }

  start(): Promise<void> {
    const { concurrency, ...shared } = this.#options;
    for (const queue of QUEUES) {
      const atOnce = queue === "fresh" ? 1 : concurrency;
      const worker = new QueueWorker({ ...shared, queue, concurrency: atOnce, redis: this.#redis, jobs: JOBS });
      this.#workers.set(queue, worker);
      worker.start();
    }
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    await Promise.all(Array.from(this.#workers.values(), (worker) => worker.stop()));
  }

  /** The activity of each queue's worker. */
  activity(): Activity[] {
    return Array.from(this.#workers.values(), ({ activity }) => activity);
  }
}
