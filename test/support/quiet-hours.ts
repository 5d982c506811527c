import { dayOf } from "./civil-day.ts";

/**
 * A time zone in which it is some minutes past eleven in the morning: its day neither begins nor ends while tests run,
 * at whatever hour they do. Noon in UTC is on the same date there.
 */
export function zoneBeforeNoon(now = new Date()): string {
  const ahead = 11 - now.getUTCHours(); // from -12 to 11
  if (ahead === 0) return "UTC";
  return `Etc/GMT${ahead > 0 ? "-" : "+"}${Math.abs(ahead)}`; // these names count hours behind UTC
}

/** Today in a time zone, "YYYY-MM-DD". */
export function todayIn(timeZone: string): string {
  return dayOf(timeZone, Date.now());
}

/** The longest period in seconds, of at most a day, of which no whole multiple since 1970 comes within eight hours. */
export function quietPeriod(now = Date.now()): number {
  const second = Math.floor(now / 1_000);
  let period = 86_400;
  while (period - (second % period) < 8 * 3_600) period--;
  return period;
}
