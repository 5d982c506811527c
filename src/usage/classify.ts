import type { DayBounds } from "./day.ts";

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
export type Outcome = "new" | "changed" | "unchanged" | "stale";

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
 * Decides what a freshly read tenant-day does to the row it finds. The stamp decides first: a row is never
 * overwritten by an older read, unless its own stamp lies in the future of `now`, the clock at the write.
 */
export function classify(
  stored: { readonly readAt: Stamp; readonly contentHash: Buffer } | undefined,
  fresh: { readonly readAt: Stamp; readonly contentHash: Buffer },
  now: Stamp,
): Outcome {
  if (!stored) return "new";
  if (stored.readAt > fresh.readAt && !isFutureStamp(stored.readAt, now)) return "stale";
  return stored.contentHash.equals(fresh.contentHash) ? "unchanged" : "changed";
}
