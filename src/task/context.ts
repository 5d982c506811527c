import type { AuditContext } from "../audit/check.ts";
import type { ArrivalReader } from "../db/mongo/arrivals.ts";
import type { readMalformed } from "../db/postgres/cache/malformed.ts";
import type { readRows } from "../db/postgres/cache/rows.ts";
import type { restoreBatch } from "../db/postgres/cache/undo.ts";
import type { writeBatch } from "../db/postgres/cache/write.ts";
import type { Pool } from "../db/postgres/pool.ts";
import type { DirtyDays } from "../db/postgres/dirty.ts";
import type { History } from "../db/postgres/history.ts";
import type { Chunks } from "../db/postgres/runs/chunks.ts";
import type { Runs } from "../db/postgres/runs/runs.ts";
import type { knownTenants, widenTenantSpans } from "../db/postgres/tenants.ts";
import type { Watermarks } from "../db/postgres/watermarks.ts";
import type { EnsureReport, StatsReport } from "../indexes/index.ts";
import type { Logger } from "../log.ts";
import type { ReadContext } from "../rebuild/read-tenant-day.ts";

/** How far back each refresh looks for arrivals. */
export interface RefreshSettings {
  /** an event may become visible so much later than its id says */
  readonly delaySeconds: number;
  /** each refresh looks at so many seconds before the watermark again: clocks differ, and an id is made before its insert */
  readonly overlapSeconds: number;
}

/** A statement's function whose first parameter, the pool, is given already. */
export type OnPool<F> = F extends (pool: Pool, ...rest: infer Rest) => infer Result ? (...rest: Rest) => Result : never;

/** Everything that a task may use. A task names its needs, and receives only those. */
export interface JobContext extends AuditContext, Execution {
  readonly runs: Runs;
  readonly chunks: Chunks;
  readonly readRows: OnPool<typeof readRows>;
  readonly readMalformed: OnPool<typeof readMalformed>;
  readonly writeBatch: OnPool<typeof writeBatch>;
  readonly restoreBatch: OnPool<typeof restoreBatch>;
  readonly arrivals: ArrivalReader;
  readonly dirtyDays: DirtyDays;
  readonly watermarks: Watermarks;
  readonly history: History;
  readonly refresh: RefreshSettings;
  readonly knownTenants: OnPool<typeof knownTenants>;
  readonly widenTenantSpans: OnPool<typeof widenTenantSpans>;
  /** brings the queues up to what PostgreSQL says is due; does nothing where there is no queue */
  readonly dispatch: () => Promise<void>;
  /** @throws if MongoDB does not answer now */
  readonly sourceAnswers: () => Promise<void>;
  /** @throws UsageError while an index is missing that a rebuild needs to be right, or to end in reasonable time */
  readonly requireIndexes: () => Promise<unknown>;
  readonly ensureIndexes: (signal: AbortSignal) => Promise<EnsureReport>;
  readonly reportIndexUsage: (signal: AbortSignal) => Promise<StatsReport>;
}

/** What belongs to one execution; all work has it. */
export interface Execution extends Pick<ReadContext, "underPermit" | "onProgress"> {
  readonly log: Logger;
  /** aborts at the time limit, at shutdown, on Ctrl-C, and when this process has lost its locks */
  readonly signal: AbortSignal;
}

/** The name of something that work may need. */
export type Need = Exclude<keyof JobContext, keyof Execution>;

/** What work with these needs is given. */
export type ContextOf<N extends Need> = Pick<JobContext, N> & Execution;

/** What readTenantDay() needs. */
export const READING = ["events", "settings", "stamp", "retention"] as const satisfies readonly Need[];

/** What workOnChunk() needs. */
export const CHUNK_WORK = ["chunks", "runs", "dispatch"] as const satisfies readonly Need[];

/** What an audit needs. */
export const AUDITING = [
  ...READING,
  "totals",
  "invisible",
  "tenants",
  "audits",
  "refresh",
  "today",
] as const satisfies readonly Need[];
