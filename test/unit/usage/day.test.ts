import { execFile } from "node:child_process";
import { promisify } from "node:util";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  addDays,
  countDays,
  dayBounds,
  dayOf,
  earlierDay,
  isDay,
  isTimeZone,
  laterDay,
  listDays,
} from "../../../src/usage/day.ts";
import { civilDate, dayOf as civilDayOf, dayStart } from "../../support/civil-day.ts";
import { holds } from "../../support/property.ts";

const HOUR = 3_600_000;
const iso = (instant: number) => new Date(instant).toISOString();

/** Zones with something to trip over, and years in which they have it. */
const ZONES = [
  ["UTC", "2023-12-01", "2025-01-31"],
  ["Europe/Berlin", "2024-01-01", "2026-12-31"],
  ["America/Sao_Paulo", "2015-01-01", "2019-12-31"], // no midnight when summer time begins
  ["Asia/Beirut", "2021-01-01", "2024-12-31"], // the same
  ["America/St_Johns", "2008-01-01", "2012-01-31"], // midnight twice when it ends
  ["Pacific/Apia", "2011-01-01", "2012-12-31"], // 30 December 2011 did not exist
  ["Antarctica/Casey", "2009-06-01", "2012-12-31"], // changes of two and three hours
  ["Australia/Lord_Howe", "2024-01-01", "2025-12-31"], // half an hour
  ["Africa/Casablanca", "2023-01-01", "2024-12-31"],
] as const;

describe("the bounds of a day", () => {
  test.each(ZONES)("in %s follow each other without gap or overlap", (zone, from, to) => {
    const lengths = new Set<number>();
    let end = dayBounds(addDays(from, -1), zone).end;
    for (const day of listDays(from, to)) {
      const bounds = dayBounds(day, zone);
      expect(bounds.start, day).toBe(end);
      ({ end } = bounds);
      lengths.add((end - bounds.start) / HOUR);
      if (end - bounds.start === 24 * HOUR) continue;
      // A clock changed: the bounds are where Intl sees the civil date change, and each instant is its day's.
      expect([bounds.start, end].map(iso), day).toEqual(
        [dayStart(zone, day), dayStart(zone, addDays(day, 1))].map(iso),
      );
      for (let instant = bounds.start; instant < end; instant += HOUR / 2) expect(dayOf(instant, zone)).toBe(day);
      expect(end > bounds.start ? dayOf(end - 1, zone) : day).toBe(day);
    }
    expect(lengths.size > 1).toBe(zone !== "UTC"); // so that a day of another length was judged
  });

  test.each([
    ["Europe/Berlin", "2026-03-29", 23],
    ["Europe/Berlin", "2026-10-25", 25],
    ["America/Sao_Paulo", "2018-11-04", 23],
    ["Asia/Beirut", "2022-03-27", 23],
    ["America/St_Johns", "2010-11-07", 25],
    ["America/St_Johns", "2010-11-06", 24],
    ["Australia/Lord_Howe", "2025-04-06", 24.5],
    ["Pacific/Apia", "2011-12-29", 24],
    ["Pacific/Apia", "2011-12-30", 0],
    ["Pacific/Apia", "2011-12-31", 24],
  ])("in %s %s has %d hours", (zone, day, hours) => {
    const { start, end } = dayBounds(day, zone);
    expect((end - start) / HOUR).toBe(hours);
  });

  test("hold the instants of the day, in any zone", () => {
    const zones = Intl.supportedValuesOf("timeZone");
    const instant = fc.integer({ min: Date.UTC(2000, 0, 2), max: Date.UTC(2040, 0, 1) });
    holds(
      fc.property(fc.constantFrom(...zones), instant, (zone, when) => {
        const day = dayOf(when, zone);
        const { start, end } = dayBounds(day, zone);
        expect(start <= when && when < end).toBe(true);
        expect(civilDate(zone, start)).toBe(day);
        expect(day).toBe(civilDayOf(zone, when));
      }),
      150,
    );
  });

  test("in UTC are those of UTC, and all is the same whatever the process's own zone", async () => {
    const script = `
      const { dayBounds, dayOf } = await import("./src/usage/day.ts");
      const days = ["2000-01-01", "2026-03-08", "2026-03-09", "2026-04-05", "2026-09-27", "2026-11-01", "2026-12-31"];
      console.log(JSON.stringify({
        offset: new Date(2026, 0, 1).getTimezoneOffset(),
        days: days.map((day) => {
          const { start, end } = dayBounds(day, "UTC");
          return [day, start, end, dayOf(start, "UTC"), dayOf(end - 1, "UTC"), dayBounds(day, "Europe/Berlin")];
        }),
      }));`;
    const run = promisify(execFile);
    const results = await Promise.all(
      ["UTC", "America/Los_Angeles", "Pacific/Auckland"].map(async (TZ) => {
        const options = { env: { ...process.env, TZ }, cwd: new URL("../../..", import.meta.url) };
        const { stdout } = await run(
          process.execPath,
          ["--import", "tsx", "--input-type=module", "-e", script],
          options,
        );
        return JSON.parse(stdout) as { offset: number; days: [string, number, number, string, string, unknown][] };
      }),
    );
    expect(results.map(({ offset }) => offset)).toEqual([0, 480, -780]); // the zone did take effect
    for (const { days } of results) {
      expect(days).toEqual(results[0]?.days);
      for (const [day, start, end, first, last] of days) {
        expect([start, end]).toEqual([Date.parse(`${day}T00:00:00Z`), Date.parse(`${day}T00:00:00Z`) + 24 * HOUR]);
        expect([first, last]).toEqual([day, day]);
      }
    }
  });
});

describe("days", () => {
  test.each(["2000-01-01", "2024-02-29", "2026-12-31", "9999-12-31"])("%j exists", (text) => {
    expect(isDay(text)).toBe(true);
  });

  test.each([
    "2026-02-29",
    "2026-02-30",
    "1900-02-29",
    "2026-04-31",
    "2026-00-10",
    "2026-13-01",
    "2026-01-00",
    "2026-1-1",
    "20260101",
    "2026-01-01T00:00",
    "2026-01-01\n",
    " 2026-01-01",
    "+002026-01-01",
    "-002026-01-01",
    "２０２６-01-01",
    "today",
    "",
  ])("%j does not", (text) => {
    expect(isDay(text)).toBe(false);
  });

  const day = fc
    .integer({ min: 0, max: 20_000 })
    .map((days) => iso(Date.UTC(2000, 0, 1) + days * 24 * HOUR).slice(0, 10));

  test("are counted, listed and added as a calendar does", () => {
    holds(
      fc.property(day, fc.integer({ min: -60, max: 60 }), (from, count) => {
        const to = addDays(from, count);
        expect(to).toBe(iso(Date.parse(from) + count * 24 * HOUR).slice(0, 10));
        expect(countDays(from, to)).toBe(count + 1);
        expect(listDays(from, to)).toEqual(Array.from({ length: Math.max(0, count + 1) }, (_, n) => addDays(from, n)));
        expect([earlierDay(from, to), laterDay(from, to)]).toEqual([from, to].sort());
      }),
    );
  });
});

describe("time zones", () => {
  test("are all that this runtime knows", () => {
    const unknown = [...Intl.supportedValuesOf("timeZone"), "UTC", "Etc/UTC", "Etc/GMT+5"].filter(
      (zone) => !isTimeZone(zone),
    );
    expect(unknown).toEqual([]);
  });

  test.each([
    "",
    "Mars/Base",
    "+01:00",
    "-05",
    "2026-01-01T00:00Z",
    "2026-01-01T00:00[Europe/Berlin]",
    "Europe/Berlin ",
  ])("%j is none", (name) => {
    expect(isTimeZone(name)).toBe(false);
  });
});
