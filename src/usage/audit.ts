import { stampMillis, type Stamp } from "./stamp.ts";
import { addDays, dayOf, type Day } from "./day.ts";
import { MEASURES, type Measures } from "./measures.ts";

/**
 * An audit's verdict on a tenant-day: `equal`; `pending`: the row lacks only events that arrived after its read, or waits
 * for a rebuild; `drifted`: the row differs from its events; `missing`: a row must exist and does not.
 */
export type Verdict = "equal" | "pending" | "drifted" | "missing";

/** The facts by which a tenant-day is judged. */
export interface Evidence {
  /** the row's sums; undefined = no row, null = sums that no events could have */
  readonly stored: Measures | null | undefined;
  /** the sums of the day's events */
  readonly fresh: Measures;
  /** columns in which the row differs from the events */
  readonly columns: readonly string[];
  /** the sums of the events that may have arrived after the row's read; zero without a row */
  readonly arrived: Measures;
  /** does it wait for a rebuild? */
  readonly isDirty: boolean;
  /** within the tenant's computed range, where a day without events has a row too */
  readonly isCovered: boolean;
  readonly isFinal: boolean;
}

/** Judges a tenant-day. A difference is pending if arrivals alone explain it in every measure. */
export function judge(evidence: Evidence): Verdict {
  const { stored, fresh, columns, isDirty, isCovered, isFinal } = evidence;
  if (stored === undefined) {
    if (!isCovered && fresh.requests === 0) return "equal"; // no event, no row
    return !isDirty && (isCovered || isFinal) ? "missing" : "pending";
  }
  if (columns.length === 0) return "equal";
  return isDirty || (stored !== null && isExplained(stored, evidence)) ? "pending" : "drifted";
}

/**
 * Does the row lack only events that arrived after its read? Events that arrived shortly before the read may be in the row
 * or not, so each sum has two bounds. A row that lacks no event has drifted.
 */
function isExplained(stored: Measures, { fresh, arrived }: Evidence): boolean {
  if (stored.requests >= fresh.requests) return false;
  return MEASURES.every(({ name }) => {
    const [row, all, late] = [BigInt(stored[name]), BigInt(fresh[name]), BigInt(arrived[name])];
    return row <= all && row >= all - late;
  });
}

/** The last day that is final at the stamp; later days may still change. */
export function lastFinalDay(now: Stamp, timeZone: string, settleHours: number): Day {
  return addDays(dayOf(stampMillis(now) - settleHours * 3_600_000, timeZone), -1);
}
