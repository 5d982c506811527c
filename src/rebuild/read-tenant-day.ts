import type { Stamp } from "../usage/stamp.ts";
import { TenantDayError, type EventReader } from "../db/mongo/events.ts";
import type { CacheRow } from "../db/postgres/cache/cache-row.ts";
import type { TenantDay } from "../usage/tenant-day.ts";
import type { QueueName } from "../db/postgres/session.ts";
import { dayState } from "../usage/classify.ts";
import { dayBounds } from "../usage/day.ts";
import { toDocuments, type DocumentLimits } from "../usage/document.ts";
import { isBeforeHorizon, type Retention } from "../usage/horizon.ts";

/** For one aggregation. A slice that takes longer is halved, so a longer limit would only waste the wait. */
const READ_LIMIT_MS = 2 * 60_000;

/** The settings that a tenant-day is computed with; under other settings the figures differ. */
export interface RunSettings {
  readonly timeZone: string;
  readonly settleHours: number;
  readonly limits: DocumentLimits;
}

/** Everything that computing a tenant-day needs. */
export interface ReadContext {
  readonly events: EventReader;
  readonly settings: RunSettings;
  /** the clock of the PostgreSQL primary */
  readonly stamp: () => Promise<Stamp>;
  /** for how long raw events are kept; may be some seconds old, unless asked for "now" */
  readonly retention: (when?: "now") => Promise<Retention>;
  /** runs `work` under a permit; the wait for the permit does not count against the time limit */
  readonly underPermit: <T>(queue: QueueName, work: () => Promise<T>) => Promise<T>;
  /** called when a part of a read has ended: a large day is read in many parts, under one permit */
  readonly onProgress?: (() => void) | undefined;
  readonly signal: AbortSignal;
}

/**
 * Computes one tenant-day from its events. The read stamp is taken right before the read, so an event that the read
 * misses arrived after it. The stamp also decides the state of the day, and whether all its events still exist.
 *
 * @param expected number of events of the day, if it is known to be large
 * @throws TenantDayError if no retry can read the day
 */
export async function readTenantDay(
  day: TenantDay,
  queue: QueueName,
  context: ReadContext,
  expected?: number,
): Promise<CacheRow> {
  const { events, settings, signal, onProgress: onRead } = context;
  const bounds = dayBounds(day.date, settings.timeZone);
  const { readAt, retention, rollup } = await context.underPermit(queue, async () => {
    const kept = await context.retention();
    const stamp = await context.stamp();
    const read = await events.readDay(day.tenant, bounds, { maxTimeMs: READ_LIMIT_MS, signal, expected, onRead });
    return { readAt: stamp, retention: kept, rollup: read };
  });
  const { totals, malformed } = rollup;
  const judged = {
    state: dayState(bounds, readAt, settings.settleHours),
    isBeforeHorizon: isBeforeHorizon(bounds, readAt, retention),
  };
  try {
    return { ...day, documents: toDocuments(rollup, settings.limits), totals, malformed, readAt, ...judged };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new TenantDayError("the keys of the day are longer than a text can be", { cause: error });
  }
}

/**
 * Checks again, before tenant-days are stored, whether all their events still existed when they were read: a TTL index
 * created during the read, or right before it, may have deleted half of a day.
 */
export async function judgeHorizonAgain(rows: readonly CacheRow[], context: ReadContext): Promise<CacheRow[]> {
  if (rows.length === 0) return [];
  const retention = await context.retention("now");
  return rows.map((row) => {
    const bounds = dayBounds(row.date, context.settings.timeZone);
    return { ...row, isBeforeHorizon: row.isBeforeHorizon || isBeforeHorizon(bounds, row.readAt, retention) };
  });
}
