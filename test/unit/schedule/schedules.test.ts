import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { loadConfig } from "../../../src/config.ts";
import { JOBS } from "../../../src/jobs/index.ts";
import type { Job } from "../../../src/task/job.ts";
import {
  jobOccurrence,
  nightlyRequest,
  periodOccurrenceOf,
  schedules,
  occurrenceOf,
} from "../../../src/schedule/schedules.ts";
import { addDays, countDays, dayBounds, FIRST_DAY, isDay } from "../../../src/usage/day.ts";
import { holds } from "../../support/property.ts";

const SLOT = "2026-11-21T02:15Z";
const TABLE = schedules(loadConfig({}));

test("every schedule has a name of its own", () => {
  expect(new Set(TABLE.map(({ name }) => name)).size).toBe(TABLE.length);
});

test.each(TABLE)("$name only asks for a run or enqueues a job, the same for the same occurrence", async (schedule) => {
  const asked: unknown[] = [];
  const tick = () =>
    schedule.tick(SLOT, {
      request: (wish) => {
        expect(isDay(wish.from) && isDay(wish.to) && wish.from <= wish.to).toBe(true);
        asked.push(wish);
        return Promise.resolve();
      },
      enqueue: (job: Job, payload) => {
        expect(JOBS).toContain(job);
        const id = job.id(job.payload.parse(payload));
        expect(id).not.toContain(":"); // BullMQ refuses it
        asked.push(id);
        return Promise.resolve();
      },
      nightlyThrough: () => Promise.resolve("2026-11-19"),
    });
  await tick();
  await tick();
  expect(asked).toHaveLength(2);
  expect(asked[0]).toEqual(asked[1]);
});

describe("the nightly rebuild", () => {
  test.each([
    // occurrence, time zone, watermark, NIGHTLY_DAYS, SETTLE_HOURS
    ["2026-11-21T02:15Z", "UTC", "2026-11-19", 3, 48, "2026-11-16", "2026-11-20"],
    ["2026-11-21T02:15Z", "UTC", undefined, 3, 48, "2026-11-17", "2026-11-20"],
    ["2026-11-21T02:15Z", "UTC", "2026-11-20", 3, 48, "2026-11-17", "2026-11-20"], // the second occurrence of a day
    ["2026-11-21T02:15Z", "UTC", "2026-11-16", 3, 48, "2026-11-13", "2026-11-20"], // three nights missed
    ["2026-11-21T02:15Z", "UTC", "2026-11-19", 1, 0, "2026-11-18", "2026-11-20"],
    ["2026-11-21T02:15Z", "UTC", "2026-11-19", 1, 49, "2026-11-15", "2026-11-20"], // 49 h reach into a third day
    ["2026-11-21T02:15Z", "UTC", "2026-11-19", 7, 48, "2026-11-12", "2026-11-20"],
    ["2026-11-21T02:15Z", "UTC", "2027-01-01", 3, 48, "2026-11-17", "2026-11-20"], // a watermark of another time zone
    ["2026-11-21T02:15Z", "America/Los_Angeles", "2026-11-18", 1, 0, "2026-11-17", "2026-11-19"], // still the 20th there
    ["2026-11-21T10:15Z", "Pacific/Kiritimati", "2026-11-20", 1, 0, "2026-11-19", "2026-11-21"], // the 22nd already
    ["2026-03-29T02:15Z", "Europe/Berlin", "2026-03-27", 1, 0, "2026-03-26", "2026-03-28"], // the night that loses an hour
    ["2026-03-01T00:00Z", "UTC", "2026-02-27", 1, 24, "2026-02-25", "2026-02-28"],
    ["2000-01-03T02:15Z", "UTC", undefined, 10, 48, "2000-01-01", "2000-01-02"], // never before the first day there is
    ["2026-11-21T02:15Z", "UTC", "2001-01-01", 3, 48, "2016-11-13", "2026-11-20"], // never more than 3,660 days
  ])(
    "of %s in %s after %s, with %d days and %d hours, is %s to %s",
    (occurrence, timeZone, through, days, hours, from, to) => {
      expect(nightlyRequest(occurrence, through, { timeZone, nightlyDays: days, settleHours: hours })).toEqual({
        kind: "nightly",
        from,
        to,
        requestedBy: "schedule",
        dedupeBy: occurrence,
      });
    },
  );

  test("covers whole days that have ended, back to before the watermark, and reads each day again when it is final", () => {
    const occurrence = fc
      .integer({ min: Date.UTC(2011, 0, 1), max: Date.UTC(2040, 0, 1) })
      .map((at) => occurrenceOf(new Date(at)));
    const zone = fc.constantFrom("UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Kiritimati", "Pacific/Pago_Pago");
    const settings = fc.record({
      timeZone: zone,
      nightlyDays: fc.integer({ min: 1, max: 3_660 }),
      settleHours: fc.integer({ min: 0, max: 8_760 }),
    });
    holds(
      fc.property(occurrence, fc.nat({ max: 400 }), settings, (at, missed, { timeZone, nightlyDays, settleHours }) => {
        const yesterday = nightlyRequest(at, undefined, { timeZone, nightlyDays, settleHours }).to;
        const through = addDays(yesterday, -missed);
        const { from, to } = nightlyRequest(at, through, { timeZone, nightlyDays, settleHours });
        const { end } = dayBounds(to, timeZone);
        expect(end).toBeLessThanOrEqual(Date.parse(at));
        expect(Date.parse(at) - end).toBeLessThan(25 * 3_600_000);
        const days = countDays(from, to);
        expect(days).toBeLessThanOrEqual(3_660);
        if (days === 3_660 || from === FIRST_DAY) return;
        expect(countDays(from, through) - 1).toBeGreaterThanOrEqual(nightlyDays);
        // The days that the last night read while they were settling are read again.
        const before = addDays(from, -1);
        const readAtTheLatest = dayBounds(through, timeZone).end;
        expect(dayBounds(before, timeZone).end + settleHours * 3_600_000).toBeLessThanOrEqual(readAtTheLatest);
      }),
    );
  });
});

test("an occurrence is named by its minute, that of a period by its second, and that in an id of a job without a colon", () => {
  expect(occurrenceOf(new Date("2026-11-21T02:15:59.999Z"))).toBe(SLOT);
  expect(Date.parse(SLOT)).toBe(Date.UTC(2026, 10, 21, 2, 15));
  expect(periodOccurrenceOf(new Date("2026-11-21T02:15:59.999Z"))).toBe("2026-11-21T02:15:59Z");
  expect(jobOccurrence("2026-11-21T02:15:59Z")).toBe("2026-11-21T021559Z");
});
