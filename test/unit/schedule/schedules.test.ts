import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { loadConfig } from "../../../src/config.ts";
import { JOBS } from "../../../src/jobs/index.ts";
import type { Job } from "../../../src/jobs/job.ts";
import { nightlyWish, schedules, slotOf } from "../../../src/schedule/schedules.ts";
import { countDays, dayBounds, FIRST_DAY, isDay } from "../../../src/usage/day.ts";

const SLOT = "2026-11-21T02:15Z";
const TABLE = schedules(loadConfig({}));

test("every schedule has a name of its own", () => {
  expect(new Set(TABLE.map(({ name }) => name)).size).toBe(TABLE.length);
});

test.each(TABLE)("$name only asks for a run or enqueues a job, the same for the same slot", async (schedule) => {
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
    });
  await tick();
  await tick();
  expect(asked).toHaveLength(2);
  expect(asked[0]).toEqual(asked[1]);
});

describe("the nightly rebuild", () => {
  test.each([
    ["2026-11-21T02:15Z", "UTC", 3, "2026-11-18", "2026-11-20"],
    ["2026-11-21T02:15Z", "America/Los_Angeles", 1, "2026-11-19", "2026-11-19"],
    ["2026-11-21T12:15Z", "Pacific/Auckland", 1, "2026-11-21", "2026-11-21"],
    ["2026-03-01T00:00Z", "UTC", 2, "2026-02-27", "2026-02-28"],
    ["2000-01-03T02:15Z", "UTC", 10, "2000-01-01", "2000-01-02"],
  ])("of %s in %s over %d days is from %s to %s", (slot, timeZone, nightlyDays, from, to) => {
    expect(nightlyWish(slot, { timeZone, nightlyDays })).toEqual({
      kind: "nightly",
      from,
      to,
      requestedBy: "schedule",
      slot,
    });
  });

  test("covers whole days that have ended, as many as asked for", () => {
    const slot = fc.integer({ min: Date.UTC(2011, 0, 1), max: Date.UTC(2040, 0, 1) }).map((at) => slotOf(new Date(at)));
    const zone = fc.constantFrom("UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Kiritimati", "Pacific/Pago_Pago");
    fc.assert(
      fc.property(slot, zone, fc.integer({ min: 1, max: 3_660 }), (at, timeZone, nightlyDays) => {
        const { from, to } = nightlyWish(at, { timeZone, nightlyDays });
        const { end } = dayBounds(to, timeZone);
        expect(end).toBeLessThanOrEqual(Date.parse(at));
        expect(Date.parse(at) - end).toBeLessThan(25 * 3_600_000);
        expect(countDays(from, to) === nightlyDays || from === FIRST_DAY).toBe(true);
        expect(countDays(from, to)).toBeLessThanOrEqual(nightlyDays);
      }),
    );
  });
});

test("a slot is named by its minute", () => {
  expect(slotOf(new Date("2026-11-21T02:15:59.999Z"))).toBe(SLOT);
  expect(Date.parse(SLOT)).toBe(Date.UTC(2026, 10, 21, 2, 15));
});
