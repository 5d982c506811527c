import { addDays, earlierDay, laterDay, type Day } from "./day.ts";
import type { DayRange, TenantDay, TenantSpan } from "./tenant-day.ts";

/** Joins tenant-days, which are ordered by tenant and day, into spans of consecutive days. */
export function joinTenantDays(days: readonly TenantDay[]): TenantSpan[] {
  const spans: { tenant: string; from: Day; to: Day }[] = [];
  for (const { tenant, date } of days) {
    const last = spans.at(-1);
    if (last?.tenant === tenant && date === addDays(last.to, 1)) last.to = date;
    else spans.push({ tenant, from: date, to: date });
  }
  return spans;
}

/** The part of each span within a range, both ends included; spans outside it are left out. */
export function clipSpans(spans: readonly TenantSpan[], { from, to }: DayRange): TenantSpan[] {
  return spans
    .map((span) => ({ tenant: span.tenant, from: laterDay(from, span.from), to: earlierDay(to, span.to) }))
    .filter((span) => span.from <= span.to);
}
