import { expect, test } from "vitest";
import { civilDate } from "../../support/civil-day.ts";
import { quietPeriod, zoneBeforeNoon } from "../../support/quiet-hours.ts";

const HOUR = 3_600_000;
const HOURS = Array.from({ length: 24 }, (_, hour) => Date.UTC(2026, 10, 21, hour, 59, 59, 999));

test.each(HOURS)("the zone before noon has one day from eleven hours before to twelve hours after %d", (now) => {
  const zone = zoneBeforeNoon(new Date(now));
  const today = civilDate(zone, now);
  expect([civilDate(zone, now - 11 * HOUR), civilDate(zone, now + 12 * HOUR)]).toEqual([today, today]);
  expect(civilDate(zone, Date.parse(`${today}T12:00:00Z`))).toBe(today);
});

test.each(HOURS)("no whole multiple of the quiet period comes within eight hours of %d", (now) => {
  const period = quietPeriod(now);
  expect(period).toBeLessThanOrEqual(86_400);
  const next = Math.ceil((now + 1) / 1_000 / period) * period * 1_000;
  expect(next - now).toBeGreaterThan(8 * HOUR - 1_000);
});
