/**
 * Civil days of a time zone from nothing but Intl.DateTimeFormat, so that tests do not share Temporal with the code they
 * judge. Days are `YYYY-MM-DD` of the years 2000 to 9998, instants are milliseconds since 1970.
 */
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

const formats = new Map<string, Intl.DateTimeFormat>();

function format(timeZone: string): Intl.DateTimeFormat {
  let found = formats.get(timeZone);
  if (!found) {
    const numeric = "2-digit";
    found = new Intl.DateTimeFormat("en-US", {
      timeZone,
      calendar: "gregory",
      hourCycle: "h23",
      year: "numeric",
      month: numeric,
      day: numeric,
      hour: numeric,
      minute: numeric,
      second: numeric,
    });
    formats.set(timeZone, found);
  }
  return found;
}

/** The wall clock at the instant, as if it were UTC (whole seconds). */
function wallClock(timeZone: string, instant: number): number {
  const parts: Record<string, number> = {};
  for (const { type, value } of format(timeZone).formatToParts(instant)) parts[type] = Number(value);
  const { year = NaN, month = NaN, day = NaN, hour = NaN, minute = NaN, second = NaN } = parts;
  return Date.UTC(year, month - 1, day, hour, minute, second);
}

function isoDay(instant: number): string {
  return new Date(instant).toISOString().slice(0, 10);
}

/** What a calendar on the wall shows at the instant. */
export function civilDate(timeZone: string, instant: number): string {
  return isoDay(wallClock(timeZone, instant));
}

/** The day so many days later (or earlier). */
export function addDays(day: string, days: number): string {
  return isoDay(Date.parse(`${day}T00:00:00Z`) + days * DAY);
}

const starts = new Map<string, number>();

/** The first instant whose civil date is the day or later. A day that a zone skipped starts where the next one does. */
export function dayStart(timeZone: string, day: string): number {
  const key = `${timeZone}|${day}`;
  const known = starts.get(key);
  if (known !== undefined) return known;

  const midnight = Date.parse(`${day}T00:00:00Z`);
  const reached = (instant: number): boolean => civilDate(timeZone, instant) >= day;
  let before = midnight - 36 * HOUR;
  let after = midnight + 36 * HOUR;
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (reached(middle)) after = middle;
    else before = middle;
  }
  // A clock that falls back across midnight shows the day twice and the search may have met the second time: every
  // offset of the neighbourhood proposes its own midnight, and the earliest that is one wins.
  let start = after;
  for (let near = midnight - 36 * HOUR; near <= midnight + 36 * HOUR; near += HOUR) {
    const proposed = midnight - (wallClock(timeZone, near) - near);
    if (proposed < start && reached(proposed) && !reached(proposed - 1)) start = proposed;
  }
  starts.set(key, start);
  return start;
}

/** The day whose half-open interval [start, next start) holds the instant. */
export function dayOf(timeZone: string, instant: number): string {
  let day = civilDate(timeZone, instant);
  while (instant >= dayStart(timeZone, addDays(day, 1))) day = addDays(day, 1);
  return day;
}
