import { Temporal } from "temporal-polyfill";

/** A civil date in the reporting time zone, "YYYY-MM-DD". Text on purpose: a JS Date would carry a time and a zone. */
export type Day = string;

/** The half-open interval [start, end) of a day, in milliseconds since the epoch. */
export interface DayBounds {
  readonly start: number;
  readonly end: number;
}

const DAY_MS = 86_400_000;

const SHAPE = /^\d{4}-\d{2}-\d{2}$/;

/** The first day that counts; earlier dates come from producers with a wrong clock. */
export const FIRST_DAY: Day = "2000-01-01";

/** Is the text an existing day? "2026-02-30" and "2026-2-3" are not. */
export function isDay(text: string): boolean {
  if (!SHAPE.test(text)) return false;
  try {
    Temporal.PlainDate.from(text, { overflow: "reject" });
    return true;
  } catch {
    return false;
  }
}

/** Is the text an IANA time zone that this runtime knows? Offsets ("+01:00") and timestamps, which Temporal accepts, are not. */
export function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    return Temporal.ZonedDateTime.from({ year: 2026, month: 1, day: 1, timeZone: name }).timeZoneId !== "";
  } catch {
    return false;
  }
}

/** `count` days later, or earlier if negative. A plan calls it millions of times: Temporal took nine times as long. */
export function addDays(day: Day, count: number): Day {
  return new Date(utcMillis(day) + count * DAY_MS).toISOString().slice(0, 10);
}

/** How many days lie from `from` to `to`, both included; 0 or less when `to` is before `from`. */
export function countDays(from: Day, to: Day): number {
  return (utcMillis(to) - utcMillis(from)) / DAY_MS + 1;
}

/** Every day from `from` to `to`, both included, in order. */
export function listDays(from: Day, to: Day): Day[] {
  return Array.from({ length: Math.max(0, countDays(from, to)) }, (_, index) => addDays(from, index));
}

/**
 * The day whose bounds contain the instant (milliseconds since the epoch). Where clocks were set back across midnight
 * (St. John's, until 2011), the wall clock repeats the day before, but by the bounds the next day has begun.
 */
export function dayOf(instant: number, timeZone: string): Day {
  const shown = Temporal.Instant.fromEpochMilliseconds(instant).toZonedDateTimeISO(timeZone).toPlainDate().toString();
  const next = addDays(shown, 1);
  return instant < startOf(next, timeZone) ? shown : next;
}

/**
 * The bounds of a day, computed here and sent as literals, so that no server's time zone data decides a day. Where
 * midnight does not exist, the day starts at the first instant that does; a day with a clock change has 23 or 25 hours.
 */
export function dayBounds(day: Day, timeZone: string): DayBounds {
  return { start: startOf(day, timeZone), end: startOf(addDays(day, 1), timeZone) };
}

/** Civil dates are counted in UTC, where each has 24 hours. */
function utcMillis(day: Day): number {
  const millis = Date.parse(`${day}T00:00:00Z`);
  if (Number.isNaN(millis)) throw new RangeError(`${JSON.stringify(day)} is no day`);
  return millis;
}

function startOf(day: Day, timeZone: string): number {
  return Temporal.PlainDate.from(day).toZonedDateTime(timeZone).epochMilliseconds;
}

/** The earlier of two days. */
export function earlierDay(a: Day, b: Day): Day {
  return a < b ? a : b;
}

/** The later of two days. */
export function laterDay(a: Day, b: Day): Day {
  return a > b ? a : b;
}
