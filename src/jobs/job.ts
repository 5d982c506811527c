import type { z } from "zod";
import type { Chunks } from "../db/postgres/chunks.ts";
import type { Runs } from "../db/postgres/runs.ts";
import type { Lane } from "../db/postgres/slots.ts";
import type { EventReader } from "../db/mongo/events.ts";
import type { EnsureReport } from "../indexes/ensure.ts";
import type { Logger } from "../log.ts";
import type { Stamp } from "../usage/classify.ts";
import type { Day } from "../usage/day.ts";
import type { DocumentLimits } from "../usage/document.ts";
import type { Tenants } from "../db/tenants.ts";

/** The version of the payloads that this process writes and reads. */
export const PAYLOAD_VERSION = 1;

/** What a run is computed by; rows made under other settings are other numbers. */
export interface RunSettings {
  readonly timeZone: string;
  readonly settleHours: number;
  readonly limits: DocumentLimits;
}

/** Everything a job may use. Built in app.ts; `log`, `signal` and `underSlot` belong to the one execution. */
export interface JobContext {
  readonly events: EventReader;
  readonly tenants: Tenants;
  readonly runs: Runs;
  readonly chunks: Chunks;
  readonly settings: RunSettings;
  /** the clock of the PostgreSQL primary */
  readonly stamp: () => Promise<Stamp>;
  /** today in the reporting time zone */
  readonly today: () => Day;
  /** runs `work` when one of the slots for aggregations is free; the wait does not count against the time limit */
  readonly underSlot: <T>(lane: Lane, work: () => Promise<T>) => Promise<T>;
  /** brings the queue up to what PostgreSQL says is due; does nothing where there is no queue */
  readonly dispatch: () => Promise<void>;
  readonly ensureIndexes: (signal: AbortSignal) => Promise<EnsureReport>;
  readonly log: Logger;
  /** aborts at the time limit and at shutdown */
  readonly signal: AbortSignal;
}

/** One thing that the system does. One file, one job; it may run twice, and only saves traffic by its id. */
export interface Job<Name extends string = string, Payload extends z.ZodType = z.ZodType, Result = unknown> {
  /** wire name: never changes */
  readonly name: Name;
  /** a public format: carries `v`; an id of what PostgreSQL knows, and little else */
  readonly payload: Payload;
  readonly timeoutMs: number;
  /** same work, same id; ":" is not allowed in it */
  id(payload: z.output<Payload>): string;
  run(payload: z.output<Payload>, context: JobContext): Promise<Result>;
}

/** Gives a job its type. */
export function defineJob<Name extends string, Payload extends z.ZodType, Result>(
  job: Job<Name, Payload, Result>,
): Job<Name, Payload, Result> {
  return job;
}

/** The reason of a signal that aborted because the job's time limit was used up, rather than because of a shutdown. */
export class TimeLimitError extends Error {
  override readonly name = "TimeLimitError";
}

/** Did the signal abort because the process stops? Then work goes back without an attempt spent. */
export function isShutdown({ aborted, reason }: { readonly aborted: boolean; readonly reason: unknown }): boolean {
  return aborted && !(reason instanceof TimeLimitError);
}

/** An error that no retry can mend, such as a payload that does not parse. */
export class PermanentError extends Error {
  override readonly name = "PermanentError";
}
