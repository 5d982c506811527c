import type { Stamp } from "../usage/stamp.ts";
import type { TenantDay, TenantSpan } from "../usage/tenant-day.ts";
import { Check, type AuditContext, type Drift, type AuditedDay } from "./check.ts";
import { explainNothing, visibleInstants } from "../rebuild/explain-nothing.ts";
import type { Finding } from "../usage/finding.ts";
import type { InvisibleCounts } from "../usage/invisible.ts";
import type { AuditDays } from "../db/postgres/cache/audits.ts";
import { lastFinalDay } from "../usage/audit.ts";
import { earlierDay, FIRST_DAY, laterDay, type Day } from "../usage/day.ts";
import { horizonDay } from "../usage/horizon.ts";
import { countTenantDays, listTenantDays } from "../usage/plan.ts";
import { clipSpans } from "../usage/spans.ts";

const COLLECTION_LIMIT_MS = 6 * 60 * 60_000;
/** Size of the nightly sample, and how many of its tenant-days are audited deep. */
const SAMPLE = { days: 200, deep: 20 };

/** A requested audit. */
export interface AuditRequest {
  readonly from: Day;
  readonly to: Day;
  /** undefined = every tenant */
  readonly tenants?: readonly string[] | undefined;
  /** compares documents too, and counts the invisible events of the whole collection */
  readonly deep: boolean;
  /** also days that are not final */
  readonly allStates: boolean;
  readonly requestedBy: string;
}

/** The outcome of an audit. */
export interface AuditReport {
  /** id of its row in usage_audit; undefined if another audit of the same occurrence was first */
  readonly id: string | undefined;
  readonly from: Day;
  readonly to: Day;
  readonly startedAt: Stamp;
  /** tenant-days of the range left out because they are not final */
  readonly notFinal: number;
  readonly days: AuditDays;
  readonly invisible: InvisibleCounts | null;
  /** why the range has no tenant-day; null = it has some */
  readonly finding: Finding | null;
  /** ordered by tenant and day; the first 100,000 found */
  readonly drift: readonly Drift[];
  readonly pending: readonly TenantDay[];
  /** tenant-days whose events could not be read */
  readonly failed: readonly (TenantDay & { readonly error: string })[];
}

/** Progress of an audit; called after each tenant-day. */
export type OnProgress = (done: number, total: number) => void;

/**
 * Audits the tenants' days within the range, and writes a row into usage_audit.
 *
 * @param known first and last day on which each tenant has events or rows
 * @param concurrency tenant-days read at once, as far as permits allow
 */
export async function auditRange(
  request: AuditRequest,
  known: readonly TenantSpan[],
  context: AuditContext,
  concurrency: number,
  onProgress: OnProgress,
): Promise<AuditReport> {
  const { audits, settings } = context;
  const { from, to, deep, requestedBy } = request;
  const startedAt = await context.stamp();
  const final = lastFinalDay(startedAt, settings.timeZone, settings.settleHours);
  const through = request.allStates ? to : earlierDay(to, final);
  const total = countWithin(known, from, through);
  const tasks = function* (): Generator<AuditedDay> {
    for (const span of clipSpans(known, { from, to: through })) {
      for (const day of listTenantDays([span])) yield { ...day, deep };
    }
  };
  const check = new Check(context, (done) => onProgress(done, total));
  await check.run(tasks(), concurrency);
  const invisible = deep ? await countInvisible(context) : null;
  const within = countWithin(known, from, to);
  const finding = within === 0 ? await explainNothing({ tenants: request.tenants, known }, context) : null;
  const found = { from, to, startedAt, days: check.days(), invisible, finding, drift: check.drift() };
  const id = await audits.record({ ...found, slot: null, requestedBy });
  const notFinal = within - total;
  return { ...found, id, notFinal, pending: check.pending, failed: check.failed };
}

function countWithin(spans: readonly TenantSpan[], from: Day, to: Day): number {
  return countTenantDays(clipSpans(spans, { from, to }));
}

/**
 * Audits a random sample of final tenant-days, some of them deep, once for each occurrence.
 *
 * @returns undefined if this occurrence was audited before
 */
export async function auditOccurrence(slot: string, context: AuditContext): Promise<AuditReport | undefined> {
  const { audits, settings } = context;
  if (await audits.isRecorded(slot)) return undefined;
  const startedAt = await context.stamp();
  const from = laterDay(FIRST_DAY, horizonDay(startedAt, await context.retention(), settings.timeZone) ?? FIRST_DAY);
  const to = lastFinalDay(startedAt, settings.timeZone, settings.settleHours);
  const sample = await audits.sample(SAMPLE.days, from, to);
  const tasks = sample.map((day, index) => ({ ...day, deep: index < SAMPLE.deep }));
  const check = new Check(context, () => undefined);
  await check.run(tasks, 1);
  const finding = sample.length === 0 ? await explainNothing({ tenants: undefined, known: [] }, context) : null;
  const found = { from, to, startedAt, days: check.days(), invisible: null, finding, drift: check.drift() };
  const id = await audits.record({ ...found, slot, requestedBy: "schedule" });
  return { ...found, id, notFinal: 0, pending: check.pending, failed: check.failed };
}

/** Audits tenant-days again, for example after a repair; writes no row into usage_audit. */
export async function auditAgain(days: readonly TenantDay[], context: AuditContext, deep: boolean): Promise<Drift[]> {
  const check = new Check(context, () => undefined);
  await check.run(
    days.map(({ tenant, date }) => ({ tenant, date, deep })),
    1,
  );
  return check.drift();
}

async function countInvisible(context: AuditContext) {
  const { invisible, underPermit, signal } = context;
  const visible = visibleInstants(context);
  return underPermit("bulk", () => invisible.count(visible, { maxTimeMs: COLLECTION_LIMIT_MS, signal }));
}
