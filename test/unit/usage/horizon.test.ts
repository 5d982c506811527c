import type { Stamp } from "../../../src/usage/stamp.ts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { dayBounds } from "../../../src/usage/day.ts";
import { HORIZON_MARGIN_MS, horizonDay, isBeforeHorizon } from "../../../src/usage/horizon.ts";
import { addDays, dayStart } from "../../support/civil-day.ts";
import { holds } from "../../support/property.ts";

const HOUR = 3_600_000;
const DAY_SECONDS = 86_400;
const ZONES = ["UTC", "Pacific/Auckland", "America/Los_Angeles", "Asia/Kathmandu", "America/Havana"];

const stampOf = (instant: number): Stamp => new Date(instant).toISOString().replace("Z", "000Z");
const isBefore = (day: string, timeZone: string, now: Stamp, retention: number | undefined) =>
  isBeforeHorizon(dayBounds(day, timeZone), now, retention);

describe("a day is before the horizon", () => {
  test("when its first instant is older than the retention less an hour, to the millisecond", () => {
    expect(HORIZON_MARGIN_MS).toBe(HOUR);
    const day = "2026-03-01";
    // kept for ten days: the first event of the day may be gone on the 11th, and is taken to be an hour before
    expect(isBefore(day, "UTC", "2026-03-10T23:00:00.000000Z", 10 * DAY_SECONDS)).toBe(false);
    expect(isBefore(day, "UTC", "2026-03-10T23:00:00.001000Z", 10 * DAY_SECONDS)).toBe(true);
    expect(isBefore(addDays(day, 1), "UTC", "2026-03-10T23:00:00.001000Z", 10 * DAY_SECONDS)).toBe(false);
  });

  test.each([
    // midnight in Auckland is 11:00 UTC the day before in summer, 12:00 in winter
    ["Pacific/Auckland", "2026-03-01", "2026-02-28T11:00:00Z"],
    ["Pacific/Auckland", "2026-07-01", "2026-06-30T12:00:00Z"],
    ["America/Los_Angeles", "2026-03-01", "2026-03-01T08:00:00Z"],
    ["America/Los_Angeles", "2026-07-01", "2026-07-01T07:00:00Z"],
    // the night of a clock change: the day has 23 hours, and begins where it began
    ["America/Los_Angeles", "2026-03-09", "2026-03-09T07:00:00Z"],
    ["Pacific/Auckland", "2026-04-06", "2026-04-05T12:00:00Z"],
  ])("in %s, %s begins at %s", (timeZone, day, start) => {
    const edge = Date.parse(start) + 30 * DAY_SECONDS * 1_000 - HOUR;
    expect(isBefore(day, timeZone, stampOf(edge), 30 * DAY_SECONDS)).toBe(false);
    expect(isBefore(day, timeZone, stampOf(edge + 1), 30 * DAY_SECONDS)).toBe(true);
    expect(horizonDay(stampOf(edge), 30 * DAY_SECONDS, timeZone)).toBe(day);
    expect(horizonDay(stampOf(edge + 1), 30 * DAY_SECONDS, timeZone)).toBe(addDays(day, 1));
  });

  test("never where events are kept for ever, and always where they are kept for no time", () => {
    expect(isBefore("2000-01-01", "UTC", "2026-03-10T12:00:00.000000Z", undefined)).toBe(false);
    expect(isBefore("2026-03-10", "UTC", "2026-03-10T12:00:00.000000Z", 0)).toBe(true);
    expect(horizonDay("2026-03-10T12:00:00.000000Z", undefined, "UTC")).toBeUndefined();
    expect(horizonDay("2026-03-10T12:00:00.000000Z", 0, "UTC")).toBe("2026-03-11");
  });
});

describe("the horizon", () => {
  const cases = fc.record({
    timeZone: fc.constantFrom(...ZONES),
    now: fc.integer({ min: Date.UTC(2020, 0, 1), max: Date.UTC(2030, 0, 1) }),
    retention: fc.integer({ min: 0, max: 500 * DAY_SECONDS }),
  });

  test("is the first day of which not an instant is as old as the retention less an hour", () => {
    holds(
      fc.property(cases, ({ timeZone, now, retention }) => {
        const edge = now - retention * 1_000 + HOUR;
        const day = horizonDay(stampOf(now), retention, timeZone) as string;
        expect(dayStart(timeZone, day)).toBeGreaterThanOrEqual(edge);
        expect(dayStart(timeZone, addDays(day, -1))).toBeLessThan(edge);
      }),
    );
  });

  test("parts the days that are refused from those that are not, and never moves back", () => {
    holds(
      fc.property(cases, fc.nat(3 * DAY_SECONDS * 1_000), ({ timeZone, now, retention }, later) => {
        const day = horizonDay(stampOf(now), retention, timeZone) as string;
        expect(isBefore(day, timeZone, stampOf(now), retention)).toBe(false);
        expect(isBefore(addDays(day, -1), timeZone, stampOf(now), retention)).toBe(true);
        const then = horizonDay(stampOf(now + later), retention, timeZone) as string;
        expect(then >= day).toBe(true);
      }),
    );
  });

  test("of a stricter retention is later or the same", () => {
    holds(
      fc.property(cases, fc.nat(500 * DAY_SECONDS), ({ timeZone, now, retention }, other) => {
        const [strict, lax] = [Math.min(retention, other), Math.max(retention, other)];
        const horizon = (seconds: number) => horizonDay(stampOf(now), seconds, timeZone) as string;
        expect(horizon(strict) >= horizon(lax)).toBe(true);
      }),
    );
  });
});
