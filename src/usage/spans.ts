import { addDays, type Day } from "./day.ts";
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
