import type { z } from "zod";
import type { QueueName, Session } from "../db/postgres/session.ts";
import type { Logger } from "../log.ts";
import type { Execution, JobContext, Need } from "./context.ts";
import { NewerVersionError, PermanentError, type Job, type Task } from "./job.ts";
import { PAYLOAD_VERSION } from "./payload.ts";
import { TimeLimit } from "./time-limit.ts";

/** Supplies what tasks need. */
export interface Supplier {
  /** opens what is needed at its first use */
  supply<N extends Need>(needs: readonly N[]): Promise<Pick<JobContext, N>>;
  /** the locks of this process; no work may continue without them */
  session(): Promise<Session>;
}

const WAITING_SIGN_MS = 60_000;

/** What the caller passes to one execution. */
export interface Given {
  readonly log: Logger;
  /** aborts when the execution is to end early */
  readonly signal: AbortSignal;
  /** called whenever the work gives a sign that it gets on */
  readonly onProgress?: () => void;
}

/**
 * Executes jobs and other tasks: the one place that parses, supplies, logs, times and cancels them, whether a queue
 * brings them or a command does them itself.
 */
export class Executor {
  readonly #supplier: Supplier;
  readonly #failureLevel: "error" | "debug";

  /** @param failureLevel debug for a command, which prints the error itself */
  constructor(supplier: Supplier, failureLevel: "error" | "debug") {
    this.#supplier = supplier;
    this.#failureLevel = failureLevel;
  }

  /** Opens what these tasks need, so that a server that is away is found before the first of them. */
  async prepare(tasks: readonly Pick<Task<never, unknown>, "needs">[]): Promise<void> {
    await this.#supplier.session();
    await this.#supplier.supply([...new Set(tasks.flatMap(({ needs }) => needs))]);
  }

  /**
   * Executes a job with a payload as a queue holds it.
   *
   * @throws NewerVersionError for a payload of a later version
   * @throws PermanentError for a payload that does not parse
   */
  async executeJob<P extends z.ZodType, Result, N extends Need>(
    job: Job<string, P, Result, N>,
    data: unknown,
    given: Given,
  ): Promise<Result> {
    const version = (data as { v?: unknown } | null)?.v;
    if (typeof version === "number" && version > PAYLOAD_VERSION) {
      throw new NewerVersionError(version);
    }
    const payload = job.payload.safeParse(data);
    if (!payload.success) {
      const faults = payload.error.issues.map(({ path, message }) => `${path.join(".") || "payload"}: ${message}`);
      given.log.error({ faults }, "payload refused");
      throw new PermanentError(`payload refused: ${faults.join("; ")}`);
    }
    return this.execute(job, payload.data, given);
  }

  /** Executes a task under its time limit, and ends it early when `signal` aborts. */
  async execute<Input, Result, N extends Need>(
    task: Task<Input, Result, N>,
    input: Input,
    { log, signal: cancelled, onProgress = () => undefined }: Given,
  ): Promise<Result> {
    const started = Date.now();
    const limit = task.timeoutMs === undefined ? TimeLimit.none() : new TimeLimit(task.timeoutMs);
    try {
      const session = await this.#supplier.session();
      const supplied = await this.#supplier.supply(task.needs);
      const signal = AbortSignal.any([cancelled, limit.signal, session.lost]);
      const underPermit: Execution["underPermit"] = async (queue: QueueName, work) => {
        // Whoever waits for a permit does not hang: somebody else works.
        const waiting = setInterval(onProgress, WAITING_SIGN_MS);
        const permit = await limit
          .without(() => session.takePermit(queue, signal))
          .finally(() => clearInterval(waiting));
        onProgress();
        try {
          return await work();
        } finally {
          onProgress();
          await session.releasePermit(permit);
        }
      };
      const result = await task.run(input, { ...supplied, log, signal, underPermit, onProgress });
      log.info({ ms: Date.now() - started, result }, "job done");
      return result;
    } catch (err) {
      if (cancelled.aborted) log.info({ ms: Date.now() - started, err }, "job handed back");
      else log[this.#failureLevel]({ ms: Date.now() - started, err }, "job failed");
      throw err;
    } finally {
      limit.stop();
    }
  }
}
