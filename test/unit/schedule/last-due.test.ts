import fc from "fast-check";
import { createTask, validate } from "node-cron";
import { afterEach, expect, test, vi } from "vitest";
import { lastDue } from "../../../src/schedule/last-due.ts";
import { holds } from "../../support/property.ts";

afterEach(() => void vi.useRealTimers());

/** When the library would fire next after an instant; undefined when it finds no such time, however late. */
function nextDue(cron: string, after: Date): Date | undefined {
  vi.useFakeTimers({ now: after, toFake: ["Date"] });
  const task = createTask(cron, () => undefined, { timezone: "UTC" });
  try {
    return task.getNextRuns(1)[0];
  } catch {
    return undefined; // "Could not find next matching date"
  } finally {
    void task.destroy();
    vi.useRealTimers();
  }
}

test.each([
  ["15 2 * * *", "2026-11-21T02:15:00Z", "2026-11-21T02:15Z"],
  ["15 2 * * *", "2026-11-21T02:14:59.999Z", "2026-11-20T02:15Z"],
  ["15 2 * * *", "2026-03-01T00:00:00Z", "2026-02-28T02:15Z"],
  ["*/20 6-8 * * *", "2026-01-01T05:59:00Z", "2025-12-31T08:40Z"],
  ["50,10 1 * * *", "2026-01-01T01:49:59Z", "2026-01-01T01:10Z"],
  ["0 4 * * 1-5", "2026-11-22T12:00:00Z", "2026-11-20T04:00Z"], // a Sunday
  ["0 4 * * 7", "2026-11-22T12:00:00Z", "2026-11-22T04:00Z"],
  ["0 0 29 2 *", "2027-12-31T00:00:00Z", "2024-02-29T00:00Z"],
  ["0 0 13 * 5", "2026-12-31T00:00:00Z", "2026-11-13T00:00Z"], // a Friday the 13th: both must hold
  ["0 0 L * *", "2026-03-15T00:00:00Z", "2026-02-28T00:00Z"],
  ["0 0 15W * *", "2026-11-20T00:00:00Z", "2026-11-16T00:00Z"], // the 15th is a Sunday
  ["0 0 * * 1#1", "2026-11-21T00:00:00Z", "2026-11-02T00:00Z"],
])("%s was last due before %s at %s", (cron, now, due) => {
  expect(lastDue(cron, new Date(now))).toEqual(new Date(due));
});

test("a time that has not come for four years is not looked for any further", () => {
  expect(lastDue("0 0 29 2 1", new Date("2026-01-01T00:00:00Z"))).toBeUndefined(); // a Monday 29 February was in 2016
});

test("the library finds the same next time after the last due time as after now", () => {
  const list = (item: fc.Arbitrary<string>) =>
    fc.array(item, { minLength: 1, maxLength: 3 }).map((all) => all.join(","));
  const number = (min: number, max: number) => fc.integer({ min, max }).map(String);
  const step = (max: number) => fc.integer({ min: 1, max }).map((n) => `*/${n}`);
  const range = (min: number, max: number) =>
    fc.tuple(fc.integer({ min, max }), fc.integer({ min, max })).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`);
  const field = (min: number, max: number) =>
    fc.oneof(fc.constant("*"), list(fc.oneof(number(min, max), range(min, max))), step(max));
  const days = fc.oneof(
    fc.tuple(field(1, 28), field(0, 7)),
    // Together the two may never come, for which the library looks through a hundred years.
    fc.tuple(list(fc.constantFrom("L", "LW", "15W", "1W", "L-3", "31")), fc.constant("*")),
    fc.tuple(fc.constant("*"), list(fc.constantFrom("1#1", "5#3", "5L", "0L", "7"))),
  );
  const cron = fc
    .tuple(field(0, 59), field(0, 23), days, field(1, 12))
    .map(([minute, hour, [dayOfMonth, dayOfWeek], month]) => [minute, hour, dayOfMonth, month, dayOfWeek].join(" "))
    .filter(validate); // not the 31st of a shorter month
  const now = fc.date({ min: new Date("2001-01-01"), max: new Date("2040-01-01"), noInvalidDate: true });
  holds(
    fc.property(cron, now, (expression, at) => {
      const last = lastDue(expression, at);
      const from = last ?? new Date(at.getTime() - 4 * 365 * 86_400_000);
      expect(from.getTime()).toBeLessThanOrEqual(at.getTime());
      expect(nextDue(expression, from)).toEqual(nextDue(expression, at));
      // and it was due itself
      expect(last && nextDue(expression, new Date(last.getTime() - 1_000))).toEqual(last);
    }),
    100,
  );
});
