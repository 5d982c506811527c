import { addDays, earlierDay, laterDay, type Day } from "./day.ts";
import type { TenantDays } from "./plan.ts";

/** Tenant-days, in the order of tenant and day, as spans: days that follow each other are one. */
export function joinTenantDays(days: readonly { readonly tenant: string; readonly date: Day }[]): TenantDays[] {
  const spans: { tenant: string; from: Day; to: Day }[] = [];
  for (const { tenant, date } of days) {
    const last = spans.at(-1);
    if (last?.tenant === tenant && date === addDays(last.to, 1)) last.to = date;
    else spans.push({ tenant, from: date, to: date });
  }
  return spans;
}

/** The part of each tenant's days that lies in a range, both ends included; tenants without any are left out. */
export function clipSpans(
  spans: readonly { readonly tenant: string; readonly first: Day; readonly last: Day }[],
  { from, to }: { readonly from: Day; readonly to: Day },
): TenantDays[] {
  return spans
    .map(({ tenant, first, last }) => ({ tenant, from: laterDay(from, first), to: earlierDay(to, last) }))
    .filter((span) => span.from <= span.to);
}
