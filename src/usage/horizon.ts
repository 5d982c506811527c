import { stampMillis, type Stamp } from "./stamp.ts";
import { addDays, dayBounds, dayOf, type Day, type DayBounds } from "./day.ts";

/** Allows for clocks that differ, the length of a read, and the TTL task of MongoDB, which runs once a minute. */
export const HORIZON_MARGIN_MS = 3_600_000;

/** For how long raw events are kept, in seconds; undefined = for ever. */
export type Retention = number | undefined;

/** May events of this day be deleted already, judged at the stamp taken before its read? */
export function isBeforeHorizon(bounds: DayBounds, readAt: Stamp, retention: Retention): boolean {
  return retention !== undefined && bounds.start < edge(readAt, retention);
}

/** The horizon: the first day of which all events still exist; undefined = all events of every day exist. */
export function horizonDay(now: Stamp, retention: Retention, timeZone: string): Day | undefined {
  if (retention === undefined) return undefined;
  const day = dayOf(edge(now, retention), timeZone);
  return dayBounds(day, timeZone).start < edge(now, retention) ? addDays(day, 1) : day;
}

/** Milliseconds since the epoch; events before that may be deleted. */
function edge(now: Stamp, retention: number): number {
  return stampMillis(now) - retention * 1_000 + HORIZON_MARGIN_MS;
}
