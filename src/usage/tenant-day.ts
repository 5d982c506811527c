import type { Day } from "./day.ts";

/** The unit of truth: one tenant, one day, one row of the cache. */
export interface TenantDay {
  readonly tenant: string;
  readonly date: Day;
}

/** Days in a row, both ends included. */
export interface DayRange {
  readonly from: Day;
  readonly to: Day;
}

/** Days of one tenant in a row, both ends included. */
export interface TenantSpan extends DayRange {
  readonly tenant: string;
}

/** A tenant-day as one text, for maps and sets: NUL occurs in no tenant. */
export function dayKey({ tenant, date }: TenantDay): string {
  return `${tenant}\0${date}`;
}
