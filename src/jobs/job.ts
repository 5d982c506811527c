import { z } from "zod";
import type { ArrivalReader } from "../db/mongo/arrivals.ts";
import type { InvisibleReader } from "../db/mongo/invisible.ts";
import type { TotalsReader } from "../db/mongo/totals.ts";
import type { Audits } from "../db/postgres/cache/audits.ts";
import type { Chunks } from "../db/postgres/runs/chunks.ts";
import { ClaimLostError, startHeartbeat, type Claim } from "../db/postgres/runs/claim.ts";
import type { BatchCounts } from "../db/postgres/cache/write.ts";
import type { History } from "../db/postgres/history.ts";
import type { Runs } from "../db/postgres/runs/runs.ts";
import type { DirtyDays } from "../db/postgres/dirty.ts";
import type { RunRequest } from "../db/postgres/runs/run.ts";
import type { RebuildWish } from "../db/postgres/runs/request.ts";
import type { FoundSpan } from "../db/postgres/tenants.ts";
import type { Watermarks } from "../db/postgres/watermarks.ts";
import type { EnsureReport, StatsReport } from "../indexes/index.ts";
import type { Logger } from "../log.ts";
import type { Day } from "../usage/day.ts";
import type { TenantSpan } from "../usage/tenant-day.ts";
import type { ReadContext } from "../rebuild/read-tenant-day.ts";
import type { Tenants } from "../rebuild/tenants.ts";

/** The version of the payloads that this process writes and reads. */
export const PAYLOAD_VERSION = 1;

/** How far back each refresh looks for what arrived. */
export interface RefreshSettings {
  /** an event may become visible so much later than its id says */
  readonly delaySeconds: number;
  /** what was looked at is looked at again for so long: clocks differ, and an id is made before its insert */
  readonly overlapSeconds: number;
}

/** Everything a job may use. Built in app.ts; `log`, `signal` and `underPermit` belong to the one execution. */
export interface JobContext extends ReadContext {
  readonly tenants: Tenants;
  readonly totals: TotalsReader;
  readonly invisible: InvisibleReader;
  readonly audits: Audits;
  readonly runs: Runs;
  readonly chunks: Chunks;
  readonly arrivals: ArrivalReader;
  readonly dirtyDays: DirtyDays;
  readonly watermarks: Watermarks;
  readonly history: History;
  readonly refresh: RefreshSettings;
  readonly knownTenants: () => Promise<TenantSpan[]>;
  readonly widenTenantSpans: (spans: readonly FoundSpan[]) => Promise<void>;
  /** a wish as a run under the settings of this process */
  readonly request: (wish: RebuildWish) => RunRequest;
  /** today in the reporting time zone */
  readonly today: () => Day;
  /** brings the queue up to what PostgreSQL says is due; does nothing where there is no queue */
  readonly dispatch: () => Promise<void>;
  /** @throws UsageError while an index is missing without which a rebuild would be wrong or hopeless */
  readonly requireIndexes: () => Promise<void>;
  readonly ensureIndexes: (signal: AbortSignal) => Promise<EnsureReport>;
  readonly reportIndexUsage: (signal: AbortSignal) => Promise<StatsReport>;
  readonly log: Logger;
  /** aborts at the time limit and at shutdown */
  readonly signal: AbortSignal;
}

/** One thing that the system does. One file, one job; it may run twice, and only saves traffic by its id. */
export interface Job<
  Name extends string = string,
  Payload extends z.ZodType = z.ZodType,
  Result = unknown,
  Context = JobContext,
> {
  /** wire name: never changes */
  readonly name: Name;
  /** a public format: carries `v`; an id of what PostgreSQL knows, and little else */
  readonly payload: Payload;
  readonly timeoutMs: number;
  /** same work, same id; ":" is not allowed in it */
  id(payload: z.output<Payload>): string;
  run(payload: z.output<Payload>, context: Context): Promise<Result>;
}

/** Gives a job its type. */
export function defineJob<Name extends string, Payload extends z.ZodType, Result, Context = JobContext>(
  job: Job<Name, Payload, Result, Context>,
): Job<Name, Payload, Result, Context> {
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

/** Which chunk of which run; what it holds is in PostgreSQL. */
export const chunkPayload = z.strictObject({
  v: z.literal(PAYLOAD_VERSION),
  runId: z.uuid(),
  chunk: z
    .int()
    .nonnegative()
    .max(2 ** 31 - 1)
    .overwrite((chunk) => chunk + 0), // JSON text may say -0; it means chunk 0, and -0 + 0 is 0
});

/** Which occurrence of a schedule, "2026-11-21T0215Z": as in its name, without what a job's id may not hold. */
export const occurrencePayload = z.strictObject({
  v: z.literal(PAYLOAD_VERSION),
  slot: z
    .string()
    .regex(/^\d{4}-\d\d-\d\dT\d{4}(\d\d)?Z$/, { error: "must be an occurrence such as 2026-11-21T0215Z" }),
});

/** What work on a chunk needs that reads no event. */
export type ChunkContext = Pick<JobContext, "chunks" | "runs" | "dispatch" | "log" | "signal">;

/**
 * Works on one chunk under a claim that is renewed meanwhile; ends the chunk, and the run with its last one. A shutdown
 * hands the chunk back, an error sets it aside for a later try.
 */
export async function workOnChunk<Context extends ChunkContext>(
  { runId, chunk }: z.output<typeof chunkPayload>,
  context: Context,
  kind: "rebuild" | "undo",
  work: (claim: Claim, context: Context) => Promise<BatchCounts>,
): Promise<{ claimed: false } | ({ claimed: true } & BatchCounts)> {
  const { chunks, runs, dispatch, log } = context;
  const claim = await chunks.claim(runId, chunk, kind);
  if (!claim) return { claimed: false };
  const heartbeat = startHeartbeat(() => chunks.renew(claim));
  try {
    const counts = await work(claim, { ...context, signal: AbortSignal.any([context.signal, heartbeat.lost]) });
    await chunks.done(claim);
    const state = await runs.finish(runId);
    if (state) log.info({ runId, state }, "run finished");
    await dispatch();
    return { claimed: true, ...counts };
  } catch (error) {
    if (error instanceof ClaimLostError || heartbeat.lost.aborted) return { claimed: false };
    if (isShutdown(context.signal)) await chunks.handBack(claim);
    else await chunks.retryLater(claim, (error as Error).message);
    await runs.finish(runId);
    throw error;
  } finally {
    heartbeat.stop();
  }
}
