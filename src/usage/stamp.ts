/**
 * A read stamp: the clock of the PostgreSQL primary, taken immediately before the events of a tenant-day are read. It is
 * a fencing token: a row is never overwritten by a read with an older one.
 *
 * UTC text of fixed width, "2026-11-21T02:15:00.123456Z", so that comparing text compares time; a JS Date would lose
 * the microseconds.
 */
export type Stamp = string;

/** A stored stamp further ahead of the clock than this was written by a wrong clock, and may be overwritten. */
export const FUTURE_STAMP_MS = 5 * 60_000;

/** Milliseconds since the epoch, rounded down. */
export function stampMillis(stamp: Stamp): number {
  return Date.parse(`${stamp.slice(0, 23)}Z`);
}

/** Is the stored stamp so far ahead of the clock that it must be wrong? */
export function isFutureStamp(stored: Stamp, now: Stamp): boolean {
  return stampMillis(stored) > stampMillis(now) + FUTURE_STAMP_MS;
}

/**
 * Must the fresh read count as older than the stored one? A stamp ahead of `now`, the clock at the write, was taken before
 * the clock was set back. It orders reads of that time among themselves, but not later ones, so a fresh read with such a
 * stamp gives way to a stored one without it.
 */
export function isStale(stored: Stamp, fresh: Stamp, now: Stamp): boolean {
  if (fresh > now) return stored <= now || stored > fresh;
  return stored > fresh && !isFutureStamp(stored, now);
}
