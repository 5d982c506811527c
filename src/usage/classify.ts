import type { DayBounds } from "./day.ts";
import { isBelowStored, type Whole } from "./decimal.ts";
import { MEASURES, type MeasureName, type Measures, type MeasureTexts } from "./measures.ts";
import { isStale, stampMillis, type Stamp } from "./stamp.ts";

/** Whether a day can still change, judged by the read stamp. */
export type DayState = "open" | "settling" | "final";

/** What a write does with a tenant-day. */
export type Outcome = "new" | "changed" | "unchanged" | "stale" | "refused";

/** What classify() needs of a stored row. */
export interface StoredDay {
  readonly readAt: Stamp;
  readonly contentHash: Buffer;
  readonly sourceEvents: Whole;
}

/** What classify() needs of a tenant-day that was just read. */
export interface FreshDay extends StoredDay {
  readonly state: DayState;
  /** true = some of its events may be deleted already */
  readonly isBeforeHorizon: boolean;
}

/** Exceptions from the rules that a run may make. */
export interface Allowance {
  /** replace a final day by one of fewer events */
  readonly shrink: boolean;
  /** write a row also if the stored hash is equal, since the stored documents may not match their hash */
  readonly rewrite: boolean;
}

export const NO_ALLOWANCE: Allowance = { shrink: false, rewrite: false };

/** A day is open until it ends, settling for `settleHours` after that, then final. */
export function dayState(bounds: DayBounds, readAt: Stamp, settleHours: number): DayState {
  const read = stampMillis(readAt);
  if (read < bounds.end) return "open";
  return read < bounds.end + settleHours * 3_600_000 ? "settling" : "final";
}

/**
 * Decides what a freshly read tenant-day does to the stored row. First: a day whose events may be deleted is refused,
 * with or without a row. Second, the stamp: an older read never overwrites a row, unless the row's stamp is in the future
 * of `now`, the clock at the write. Third, the count: a day that is final by its new stamp and has fewer events than the
 * row counted is refused, whatever state the row had.
 */
export function classify(
  stored: StoredDay | undefined,
  fresh: FreshDay,
  now: Stamp,
  allow: Allowance = NO_ALLOWANCE,
): Outcome {
  if (fresh.isBeforeHorizon) return "refused";
  if (!stored) return "new";
  if (isStale(stored.readAt, fresh.readAt, now)) return "stale";
  if (fresh.state === "final" && fresh.sourceEvents < stored.sourceEvents && !allow.shrink) return "refused";
  // The count is compared too: someone may have changed it by hand beside the hash.
  const isSame =
    stored.contentHash.equals(fresh.contentHash) && BigInt(stored.sourceEvents) === BigInt(fresh.sourceEvents);
  return isSame && !allow.rewrite ? "unchanged" : "changed";
}

/**
 * The measures of a written day that fell although the day is final and its number of events did not fall, so that rule
 * three could not refuse it: events were replaced or edited. A day that a run was allowed to shrink in its number of events
 * is none of these.
 *
 * @param before the stored row's totals as PostgreSQL prints them
 */
export function fallenMeasures(
  before: MeasureTexts | undefined,
  { state, totals }: { readonly state: DayState; readonly totals: Measures },
): MeasureName[] {
  if (!before || state !== "final" || BigInt(totals.requests) < BigInt(before.requests)) return [];
  return MEASURES.filter(({ name, kind }) =>
    kind === "cost" ? isBelowStored(totals[name], before[name]) : BigInt(totals[name]) < BigInt(before[name]),
  ).map(({ name }) => name);
}
