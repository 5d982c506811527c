import { stampMillis, type Stamp } from "../usage/stamp.ts";
import type { ArrivalPage, ScanStart } from "../db/mongo/arrivals.ts";
import type { TenantDay } from "../usage/tenant-day.ts";
import type { RunRequest } from "../db/postgres/runs/request.ts";
import type { CountedDay } from "../db/postgres/dirty.ts";
import { addDays, dayBounds, earlierDay, laterDay } from "../usage/day.ts";
import { isBeforeHorizon } from "../usage/horizon.ts";
import { planChunks } from "../usage/plan.ts";
import { joinTenantDays } from "../usage/spans.ts";
import { inParallel } from "../in-parallel.ts";
import type { ContextOf } from "../task/context.ts";
import { defineJob } from "../task/job.ts";
import { occurrencePayload } from "../task/payload.ts";

/** A refresh rebuilds at most so many tenant-days, some 600 chunks; the next refresh takes the rest. */
const REFRESH_DAYS = 20_000;
/** Each takes a permit that other work waits for. */
const COUNTED_AT_ONCE = 2;
/** Tenant-days that one statement marks as dirty. */
const MARK_BATCH = 1_000;
const COUNT_LIMIT_MS = 60_000;
/** Members are behind by some seconds at most while they are up. */
const MAJORITY_LATE_MS = 60_000;

const NEEDS = [
  "arrivals",
  "dirtyDays",
  "dispatch",
  "knownTenants",
  "refresh",
  "retention",
  "runs",
  "settings",
  "stamp",
  "tenants",
  "today",
  "watermarks",
  "widenTenantSpans",
] as const;
type RefreshContext = ContextOf<(typeof NEEDS)[number]>;

/**
 * Finds the tenant-days with events that arrived after the watermark, marks those as dirty whose number of events is not
 * that of their row, and starts a refresh of dirty days that are due. The watermark moves last: if the job ends early,
 * the next one finds the same days again.
 */
export const followArrivals = defineJob({
  name: "follow-arrivals",
  payload: occurrencePayload,
  needs: NEEDS,
  timeoutMs: 60 * 60_000,
  // One id for all: waiting ticks would otherwise all go before the first chunk.
  id: () => "follow-arrivals",
  async run(_payload, context) {
    const { watermarks, refresh, log } = context;
    const mark = await watermarks.read();
    const now = await context.stamp();
    const clock = stampMillis(now);
    const seen = await seenThrough(clock, context); // before the scan, which may see more
    // A watermark that a wrong clock set may lie in the future.
    const through = mark.through ? Math.min(stampMillis(mark.through), clock) : clock - refresh.overlapSeconds * 1_000;

    const found = { events: 0, days: 0, differing: 0 };
    let start: ScanStart | undefined = { since: through - refresh.overlapSeconds * 1_000 };
    while (start) {
      const page = await readPage(start, context);
      if (page.invisible.size > 0) {
        log.warn({ events: Object.fromEntries(page.invisible) }, "events arrived that no rebuild can see");
      }
      found.events += page.events;
      found.days += page.days.length;
      found.differing += await markDiffering(page.days, now, context);
      start = page.next;
    }
    if (await hasForeignIds(mark.foreignIds, context)) {
      const days = await recentDays(context);
      found.days += days.length;
      found.differing += await markDiffering(days, now, context);
    }

    const next = new Date(seen - refresh.delaySeconds * 1_000).toISOString().replace("Z", "000Z");
    const moved = await watermarks.move(mark.through, next);
    return { ...found, moved, runId: await startRefresh(context) };
  },
});

/**
 * Up to when events that were stored can be seen: now, or the last write that a majority of the members has. That stands
 * still while too few members are up, and the watermark with it.
 */
async function seenThrough(clock: number, { arrivals, signal, log }: RefreshContext): Promise<number> {
  const majority = await arrivals.majority(signal);
  if (!majority) return clock;
  if (majority.lastWrite - majority.through > MAJORITY_LATE_MS) {
    log.warn(
      { through: new Date(majority.through).toISOString() },
      "too few members of MongoDB's replica set are up: events stored since then are not seen, and are not counted, before they are",
    );
  }
  // The primary's clock may be ahead of ours: how old that write is, it says itself.
  return Math.min(clock - Math.max(0, (majority.now ?? clock) - majority.through), majority.through);
}

function readPage(start: ScanStart, { arrivals, today, underPermit, signal }: RefreshContext): Promise<ArrivalPage> {
  return underPermit("fresh", () => arrivals.page(start, today(), signal));
}

/** Compares each day's number of events with its row. @returns how many differ and were marked as dirty */
async function markDiffering(days: readonly TenantDay[], now: Stamp, context: RefreshContext): Promise<number> {
  const retention = await context.retention();
  const { timeZone } = context.settings;
  const whole = days.filter(({ date }) => !isBeforeHorizon(dayBounds(date, timeZone), now, retention));
  let differing = 0;
  for (let from = 0; from < whole.length; from += MARK_BATCH) {
    const counted = await countEvents(whole.slice(from, from + MARK_BATCH), context);
    // Events make a tenant known, also where they could not be counted (undefined); zero events do not.
    const seen = counted.filter(({ events }) => events !== 0n);
    await context.widenTenantSpans(seen.map(({ tenant, date }) => ({ tenant, from: date, to: date })));
    differing += await context.dirtyDays.markDiffering(counted);
  }
  return differing;
}

async function countEvents(days: readonly TenantDay[], context: RefreshContext): Promise<CountedDay[]> {
  const { arrivals, underPermit, signal } = context;
  const counted: CountedDay[] = [];
  await inParallel(days, COUNTED_AT_ONCE, async ({ tenant, date }) => {
    const options = { maxTimeMs: COUNT_LIMIT_MS, signal };
    counted.push({ tenant, date, events: await underPermit("fresh", () => arrivals.count(tenant, date, options)) });
  });
  return counted;
}

/** Are there ids that do not tell when an event arrived? Asked until the answer is yes, which is logged once. */
async function hasForeignIds(known: string | undefined, context: RefreshContext): Promise<boolean> {
  if (known !== undefined) return true;
  const type = await context.underPermit("fresh", () => context.arrivals.foreignIdType(context.signal));
  if (type === undefined) return false;
  if (await context.watermarks.rememberForeignIds(type)) {
    context.log.warn(
      { type },
      "not every _id is an ObjectId, so arrivals cannot be followed alone: each refresh also counts today and yesterday of " +
        "every known tenant, and events of earlier days wait for the nightly rebuild or a backfill",
    );
  }
  return true;
}

async function recentDays({ knownTenants, today }: RefreshContext): Promise<TenantDay[]> {
  const dates = [today(), addDays(today(), -1)];
  return (await knownTenants()).flatMap(({ tenant }) => dates.map((date) => ({ tenant, date })));
}

/** @returns the id of the refresh that was started; null = no day is due, or a refresh is running */
async function startRefresh({ dirtyDays, tenants, runs, dispatch, log }: RefreshContext): Promise<string | null> {
  const due = await dirtyDays.due(REFRESH_DAYS);
  const [first] = due;
  if (!first) return null;
  const from = due.reduce((earliest, { date }) => earlierDay(earliest, date), first.date);
  const to = due.reduce((latest, { date }) => laterDay(latest, date), first.date);
  const request: RunRequest = { kind: "refresh", from, to, requestedBy: "schedule", dedupeBy: null };
  const spans = joinTenantDays(due);
  const { id, created } = await runs.createRunning(request, planChunks(spans, await tenants.expectedEvents(spans)));
  if (!created) return null;
  log.info({ runId: id, days: due.length }, "refresh started");
  await dispatch();
  return id;
}
