import type { DayBounds } from "./day.ts";
import type { Whole } from "./decimal.ts";
import { isStale, stampMillis, type Stamp } from "./stamp.ts";

/** How far a day is from being beyond change, judged by the read stamp. */
export type DayState = "open" | "settling" | "final";

/** What happens to a tenant-day at the write. */
export type Outcome = "new" | "changed" | "unchanged" | "stale" | "refused";

/** What counts of a row that is there. */
export interface StoredDay {
  readonly readAt: Stamp;
  readonly contentHash: Buffer;
  readonly sourceEvents: Whole;
}

/** What counts of a tenant-day that was just read. */
export interface FreshDay extends StoredDay {
  readonly state: DayState;
  /** its events may be gone already */
  readonly isBeforeHorizon: boolean;
}

/** What a run may do beyond the rules. */
export interface Allowance {
  /** replace a final day although fewer events are left of it */
  readonly shrink: boolean;
  /** write a row whose stored hash is equal too, since its documents may not be what the hash says */
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
 * Decides what a freshly read tenant-day does to the row it finds. A day whose events may be gone is refused, whether
 * or not there is a row. Then the stamp decides: a row is never overwritten by an older read, unless its own stamp lies
 * in the future of `now`, the clock at the write. Then the count: a day that is final by its new stamp and has fewer
 * events than the row was made of is refused, whatever state the row had.
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
  // A count that somebody changed by hand is not what the hash beside it was made of.
  const isSame =
    stored.contentHash.equals(fresh.contentHash) && BigInt(stored.sourceEvents) === BigInt(fresh.sourceEvents);
  return isSame && !allow.rewrite ? "unchanged" : "changed";
}
