import { type TenantDay, type TenantSpan, dayKey } from "./usage/tenant-day.ts";
import { figuresOf, freshDay, readRows, type CacheRow, type Figures } from "./db/postgres/cache/rows.ts";
import type { RebuildWish } from "./db/postgres/runs/request.ts";
import { readTenantDay } from "./rebuild/read-tenant-day.ts";
import { TenantDayError } from "./db/mongo/events.ts";
import { inParallel } from "./in-parallel.ts";
import { TimeLimit } from "./queues/time-limit.ts";
import type { Services } from "./services.ts";
import { classify, type Outcome } from "./usage/classify.ts";
import { countTenantDays, listTenantDays } from "./usage/plan.ts";

/** What would happen to one tenant-day. */
export interface Forecast extends TenantDay {
  readonly outcome: Exclude<Outcome, "unchanged" | "stale"> | "failed";
  readonly before: Figures | undefined;
  /** what it would be; for a refused one what is left of it; undefined where it could not be read */
  readonly after: Figures | undefined;
  readonly error?: string;
}

/** What a rebuild would do, and how many tenant-days it looked at. */
export interface DryRun {
  readonly planned: number;
  /** all but what would stay as it is, by tenant and day */
  readonly forecasts: readonly Forecast[];
}

/** Tenant-days that are compared at a time. */
const BATCH = 32;

/**
 * Computes everything that a rebuild would, in this process and under the permits that all processes share, compares it
 * with the rows and writes nothing: no row, no run, not even a tenant that it came across.
 *
 * @param spans the tenants' days with events or rows, as Tenants.findSpans() gives them
 * @param onProgress called with the number of tenant-days that are done and of all
 */
export async function dryRun(
  services: Services,
  wish: RebuildWish,
  spans: readonly TenantSpan[],
  interrupted: AbortSignal,
  onProgress: (done: number, planned: number) => void,
): Promise<DryRun> {
  const pool = await services.pool();
  const session = await services.session();
  const signal = AbortSignal.any([interrupted, session.lost]);
  const limit = TimeLimit.none();
  const context = (await services.jobContext(() => Promise.resolve()))({ log: services.log, signal, limit });
  const planned = countTenantDays(spans);
  const allow = { shrink: wish.allowShrink ?? false, rewrite: false };
  const forecasts: Forecast[] = [];
  let done = 0;
  try {
    await inParallel(batchesOf(spans), services.config.workerConcurrency, compare);
  } finally {
    limit.stop();
  }
  return { planned, forecasts: forecasts.sort((a, b) => (dayKey(a) < dayKey(b) ? -1 : 1)) };

  async function compare(days: readonly TenantDay[]): Promise<void> {
    const fresh: CacheRow[] = [];
    for (const day of days) {
      signal.throwIfAborted();
      try {
        fresh.push(await readTenantDay(day, "bulk", context));
      } catch (error) {
        if (!(error instanceof TenantDayError)) throw error;
        forecasts.push({ ...day, outcome: "failed", before: undefined, after: undefined, error: error.message });
      }
      onProgress(++done, planned);
    }
    const stored = await readRows(pool, fresh);
    const now = await context.stamp();
    for (const row of fresh) {
      const before = stored.get(dayKey(row));
      const { tenant, date, totals } = row;
      const outcome = classify(before, freshDay(row), now, allow);
      if (outcome === "unchanged" || outcome === "stale") continue;
      forecasts.push({ tenant, date, outcome, before: before && figures(before), after: figuresOf(totals) });
    }
  }
}

function* batchesOf(spans: readonly TenantSpan[]): Generator<TenantDay[]> {
  let batch: TenantDay[] = [];
  for (const span of spans) {
    for (const day of listTenantDays([span])) {
      batch.push(day);
      if (batch.length === BATCH) {
        yield batch;
        batch = [];
      }
    }
  }
  if (batch.length > 0) yield batch;
}

function figures({ requests, tokens, cost }: Figures): Figures {
  return { requests, tokens, cost };
}
