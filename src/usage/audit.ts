import { stampMillis, type Stamp } from "./stamp.ts";
import { addDays, dayOf, type Day } from "./day.ts";
import { MEASURES, type Measures } from "./measures.ts";

/**
 * What an audit says of a tenant-day: `equal`; `pending`, the row lacks only what arrived after it was read, or is to
 * be rebuilt anyway; `drifted`, the row says something else than its events; `missing`, there is no row where one must be.
 */
export type Verdict = "equal" | "pending" | "drifted" | "missing";

/** What is known of a tenant-day when it is judged. */
export interface Evidence {
  /** the row's sums, undefined where there is no row, or null where they are none that events could have */
  readonly stored: Measures | null | undefined;
  /** the sums of the events that are there */
  readonly fresh: Measures;
  /** columns of the row that are not what the events say */
  readonly columns: readonly string[];
  /** the sums of those of the events that may have arrived after the row was read; zero where there is no row */
  readonly arrived: Measures;
  /** is it on the list of what is to be rebuilt? */
  readonly isDirty: boolean;
  /** within the days that the tenant's rows are said to cover, a day without events is a row too */
  readonly isCovered: boolean;
  readonly isFinal: boolean;
}

/** Judges a tenant-day. What is pending is explained: by arrivals alone, in every measure. */
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
 * Does the row lack events, and none but such as arrived after its read? Events that arrived shortly before the read
 * may be in it or not, so each sum has two bounds. A row that lacks no event has no excuse.
 */
function isExplained(stored: Measures, { fresh, arrived }: Evidence): boolean {
  if (stored.requests >= fresh.requests) return false;
  return MEASURES.every(({ name }) => {
    const [row, all, late] = [BigInt(stored[name]), BigInt(fresh[name]), BigInt(arrived[name])];
    return row <= all && row >= all - late;
  });
}

/** The last day that is final at the stamp; the days after it may still move. */
export function lastFinalDay(now: Stamp, timeZone: string, settleHours: number): Day {
  return addDays(dayOf(stampMillis(now) - settleHours * 3_600_000, timeZone), -1);
}
