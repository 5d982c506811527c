import { Check, type AuditContext, type Drift, type Task } from "./audit/check.ts";
import type { InvisibleCounts } from "./db/mongo/invisible.ts";
import type { AuditDays } from "./db/postgres/audit.ts";
import type { TenantDay } from "./db/postgres/cache.ts";
import { UsageError } from "./errors.ts";
import { lastFinalDay } from "./usage/audit.ts";
import type { Stamp } from "./usage/classify.ts";
import { addDays, countDays, dayBounds, earlierDay, FIRST_DAY, laterDay, listDays, type Day } from "./usage/day.ts";
import { horizonDay } from "./usage/horizon.ts";

const COLLECTION_LIMIT_MS = 6 * 60 * 60_000;
/** What the nightly sample looks at, and how much of it whole. */
const SAMPLE = { days: 200, deep: 20 };

/** What somebody asks to be audited. */
export interface AuditWish {
  readonly from: Day;
  readonly to: Day;
  /** undefined = every tenant that has events, or had some */
  readonly tenants: readonly string[] | undefined;
  /** compares documents too, and counts the invisible events of the whole collection */
  readonly deep: boolean;
  /** days that are not final too */
  readonly allStates: boolean;
  readonly requestedBy: string;
}

/** The outcome of an audit. */
export interface AuditReport {
  /** of the row it left in usage_audit; undefined where another audit of the slot was first */
  readonly id: string | undefined;
  readonly from: Day;
  readonly to: Day;
  readonly startedAt: Stamp;
  /** tenant-days of the range that were left out, because they are not final */
  readonly notFinal: number;
  readonly days: AuditDays;
  readonly invisible: InvisibleCounts | null;
  /** in order of tenant and day; the first 100,000 found */
  readonly drift: readonly Drift[];
  readonly pending: readonly TenantDay[];
  /** tenant-days whose events could not be read */
  readonly failed: readonly (TenantDay & { readonly error: string })[];
}

/** How far an audit is; called after each tenant-day. */
export type OnProgress = (done: number, total: number) => void;

/**
 * Audits a range: what tenants have rows and events for, day by day. Leaves a row in usage_audit.
 *
 * @throws UsageError for a tenant that nobody knows
 */
export async function auditRange(
  wish: AuditWish,
  context: AuditContext,
  concurrency: number,
  onProgress: OnProgress,
): Promise<AuditReport> {
  const { tenants, audits, settings, signal } = context;
  const startedAt = await context.stamp();
  const final = lastFinalDay(startedAt, settings.timeZone, settings.settleHours);
  const to = wish.allStates ? wish.to : earlierDay(wish.to, final);
  const names = wish.tenants ?? (await tenants.listAll(signal));
  const known = await tenants.learnSpans(names, wish, signal);
  const unknown = wish.tenants?.filter((name) => !known.some(({ tenant }) => tenant === name)) ?? [];
  if (unknown.length > 0) {
    throw new UsageError(
      `--tenant ${unknown.map((name) => JSON.stringify(name)).join(", ")}: no event and no row is known of it. Check the spelling, and that EVENTS_COLLECTION is right.`,
    );
  }
  const spans = known.map(({ tenant, first, last }) => ({ tenant, from: laterDay(wish.from, first), last }));
  const daysTo = (end: Day) =>
    spans.reduce((sum, { from, last }) => sum + Math.max(0, countDays(from, earlierDay(end, last))), 0);
  const total = daysTo(to);
  const tasks = function* (): Generator<Task> {
    for (const { tenant, from, last } of spans) {
      for (const date of listDays(from, earlierDay(to, last))) yield { tenant, date, deep: wish.deep };
    }
  };
  const check = new Check(context, (done) => onProgress(done, total));
  await check.run(tasks(), concurrency);
  const invisible = wish.deep ? await countInvisible(context) : null;
  const { from, requestedBy } = wish;
  const found = { from, to: wish.to, startedAt, days: check.days(), invisible, drift: check.drift() };
  const id = await audits.record({ ...found, slot: null, requestedBy });
  return { ...found, id, notFinal: daysTo(wish.to) - total, pending: check.pending, failed: check.failed };
}

/**
 * Audits a random sample of final tenant-days, some of them deep, once a slot.
 *
 * @returns undefined where the slot was audited before
 */
export async function auditSample(slot: string, context: AuditContext): Promise<AuditReport | undefined> {
  const { audits, settings } = context;
  if (await audits.isRecorded(slot)) return undefined;
  const startedAt = await context.stamp();
  const from = laterDay(FIRST_DAY, horizonDay(startedAt, await context.retention(), settings.timeZone) ?? FIRST_DAY);
  const to = lastFinalDay(startedAt, settings.timeZone, settings.settleHours);
  const sample = await audits.sample(SAMPLE.days, from, to);
  const tasks = sample.map((day, index) => ({ ...day, deep: index < SAMPLE.deep }));
  const check = new Check(context, () => undefined);
  await check.run(tasks.values(), 1);
  const found = { from, to, startedAt, days: check.days(), invisible: null, drift: check.drift() };
  const id = await audits.record({ ...found, slot, requestedBy: "schedule" });
  return { ...found, id, notFinal: 0, pending: check.pending, failed: check.failed };
}

/** Looks at tenant-days once more, as after a repair; leaves no row. */
export async function auditAgain(days: readonly TenantDay[], context: AuditContext, deep: boolean): Promise<Drift[]> {
  const check = new Check(context, () => undefined);
  await check.run(days.map(({ tenant, date }) => ({ tenant, date, deep })).values(), 1);
  return check.drift();
}

async function countInvisible({ invisible, settings, today, underSlot, signal }: AuditContext) {
  const visible = {
    start: dayBounds(FIRST_DAY, settings.timeZone).start,
    end: dayBounds(addDays(today(), 1), settings.timeZone).end,
  };
  return underSlot("bulk", () => invisible.count(visible, { maxTimeMs: COLLECTION_LIMIT_MS, signal }));
}
