import { type TenantDay, type TenantSpan, dayKey } from "../usage/tenant-day.ts";
import type { CacheRow } from "../db/postgres/cache/cache-row.ts";
import { figuresOf, freshDay, type Figures } from "../db/postgres/cache/rows.ts";
import { readTenantDay } from "../rebuild/read-tenant-day.ts";
import { TenantDayError } from "../db/mongo/events.ts";
import { inParallel } from "../in-parallel.ts";
import { explainNothing } from "../rebuild/explain-nothing.ts";
import { classify, fallenMeasures, type Outcome } from "../usage/classify.ts";
import type { Finding } from "../usage/finding.ts";
import type { MeasureName } from "../usage/measures.ts";
import { countTenantDays, listTenantDays } from "../usage/plan.ts";
import { READING, type ContextOf } from "../task/context.ts";
import { defineTask } from "../task/job.ts";

/** What would happen to one tenant-day. */
export interface Forecast extends TenantDay {
  readonly outcome: Exclude<Outcome, "unchanged" | "stale"> | "failed";
  readonly before: Figures | undefined;
  /** the new figures; for a refused day, of the events that are left; undefined where the day could not be read */
  readonly after: Figures | undefined;
  /** measures that would fall although the day is final and keeps its number of events */
  readonly fell?: readonly MeasureName[];
  readonly error?: string;
}

/** What a rebuild would do, and how many tenant-days it looked at. */
export interface DryRun {
  readonly planned: number;
  /** every tenant-day that would change, by tenant and day */
  readonly forecasts: readonly Forecast[];
  /** why there is no tenant-day; null = there are some */
  readonly finding: Finding | null;
}

/** Tenant-days that are compared in one statement. */
const BATCH = 32;

/** What a dry run looks at. */
export interface DryRunInput {
  /** the days to look at: those within the range that was asked for */
  readonly spans: readonly TenantSpan[];
  /** undefined = every tenant */
  readonly tenants: readonly string[] | undefined;
  /** the tenants' days with events or rows, as Tenants.findSpans() gives them */
  readonly known: readonly TenantSpan[];
  /** final days may become smaller, as for the rebuild */
  readonly allowShrink: boolean;
  /** batches that are compared at once, as far as the permits allow */
  readonly concurrency: number;
  /** called with the number of tenant-days done, and of all */
  readonly onProgress: (done: number, planned: number) => void;
}

const NEEDS = [...READING, "invisible", "readRows", "today"] as const;

/**
 * Computes in this process what a rebuild would write, under the permits that all processes share, and compares it with
 * the rows. Writes nothing: no row, no run, not even a newly found tenant.
 */
export const dryRun = defineTask({
  name: "dry-run",
  needs: NEEDS,
  async run({ spans, tenants, known, allowShrink, concurrency, onProgress }: DryRunInput, context): Promise<DryRun> {
    const planned = countTenantDays(spans);
    if (planned === 0) return { planned, forecasts: [], finding: await explainNothing({ tenants, known }, context) };
    const forecasts: Forecast[] = [];
    let done = 0;
    await inParallel(batchesOf(spans), concurrency, async (days) => {
      forecasts.push(...(await compare(days, allowShrink, context, () => onProgress(++done, planned))));
    });
    return { planned, forecasts: forecasts.sort((a, b) => (dayKey(a) < dayKey(b) ? -1 : 1)), finding: null };
  },
});

/** @param onRead called after each tenant-day @returns the tenant-days that would change */
async function compare(
  days: readonly TenantDay[],
  allowShrink: boolean,
  context: ContextOf<(typeof NEEDS)[number]>,
  onRead: () => void,
): Promise<Forecast[]> {
  const forecasts: Forecast[] = [];
  const fresh: CacheRow[] = [];
  for (const day of days) {
    context.signal.throwIfAborted();
    try {
      fresh.push(await readTenantDay(day, "bulk", context));
    } catch (error) {
      if (!(error instanceof TenantDayError)) throw error;
      forecasts.push({ ...day, outcome: "failed", before: undefined, after: undefined, error: error.message });
    }
    onRead();
  }
  const stored = await context.readRows(fresh);
  const now = await context.stamp();
  for (const row of fresh) {
    const before = stored.get(dayKey(row));
    const { tenant, date, totals } = row;
    const outcome = classify(before, freshDay(row), now, { shrink: allowShrink, rewrite: false });
    if (outcome === "unchanged" || outcome === "stale") continue;
    const fell = outcome === "changed" ? fallenMeasures(before, row) : [];
    const figures = { before: before && figuresIn(before), after: figuresOf(totals) };
    forecasts.push({ tenant, date, outcome, ...figures, ...(fell.length > 0 && { fell }) });
  }
  return forecasts;
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

function figuresIn({ requests, tokens, cost }: Figures): Figures {
  return { requests, tokens, cost };
}
