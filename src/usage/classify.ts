import type { DayBounds } from "./day.ts";
import type { Whole } from "./decimal.ts";

/**
 * A read stamp: the clock of the PostgreSQL primary, taken immediately before the events of a tenant-day are read.
 * UTC text of fixed width, "2026-11-21T02:15:00.123456Z", so that comparing text compares time; a JS Date would lose
 * the microseconds.
 */
export type Stamp = string;

/** A stored stamp further ahead of the clock than this is a fault of the clock that wrote it, and may be overwritten. */
export const FUTURE_STAMP_MS = 5 * 60_000;

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

/** Milliseconds since the epoch, rounded down. */
export function stampMillis(stamp: Stamp): number {
  return Date.parse(`${stamp.slice(0, 23)}Z`);
}

/** A day is open until it ends, settling for `settleHours` after that, then final. */
export function dayState(bounds: DayBounds, readAt: Stamp, settleHours: number): DayState {
  const read = stampMillis(readAt);
  if (read < bounds.end) return "open";
  return read < bounds.end + settleHours * 3_600_000 ? "settling" : "final";
}

/** Is the stored stamp so far ahead of the clock that it cannot be true? */
export function isFutureStamp(stored: Stamp, now: Stamp): boolean {
  return stampMillis(stored) > stampMillis(now) + FUTURE_STAMP_MS;
}

/**
 * Is the fresh read older than the stored one, for all that can be told? A stamp ahead of `now`, the clock at the
 * write, was taken before that clock was put back: it orders reads of that time among themselves, and says nothing
 * about later ones, so a fresh read that bears one gives way to them.
 */
export function isStale(stored: Stamp, fresh: Stamp, now: Stamp): boolean {
  if (fresh > now) return stored <= now || stored > fresh;
  return stored > fresh && !isFutureStamp(stored, now);
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
