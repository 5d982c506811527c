import { describe, expect, test } from "vitest";
import { addDays, dayOf, dayStart } from "../../support/civil-day.ts";

const start = (zone: string, day: string): string => new Date(dayStart(zone, day)).toISOString();

describe("civil days", () => {
  test.each([
    ["UTC", "2026-03-01", "2026-03-01T00:00:00.000Z"],
    // 23 hours: the clock goes forward on 29 March
    ["Europe/Berlin", "2026-03-29", "2026-03-28T23:00:00.000Z"],
    ["Europe/Berlin", "2026-03-30", "2026-03-29T22:00:00.000Z"],
    // 25 hours: it goes back on 25 October
    ["Europe/Berlin", "2026-10-25", "2026-10-24T22:00:00.000Z"],
    ["Europe/Berlin", "2026-10-26", "2026-10-25T23:00:00.000Z"],
    ["America/Los_Angeles", "2026-03-08", "2026-03-08T08:00:00.000Z"],
    ["America/Los_Angeles", "2026-03-09", "2026-03-09T07:00:00.000Z"],
    ["America/Los_Angeles", "2026-11-01", "2026-11-01T07:00:00.000Z"],
    ["America/Los_Angeles", "2026-11-02", "2026-11-02T08:00:00.000Z"],
    ["Asia/Kathmandu", "2026-03-01", "2026-02-28T18:15:00.000Z"],
    // no midnight: at 00:00 the clock was put to 01:00
    ["America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00.000Z"],
    // two midnights: at 00:01 it was put back to 23:01, and the first one counts
    ["America/St_Johns", "2010-11-07", "2010-11-07T02:30:00.000Z"],
    // 30 December 2011 did not exist
    ["Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00.000Z"],
    ["Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00.000Z"],
  ])("in %s %s starts at %s", (zone, day, instant) => {
    expect(start(zone, day)).toBe(instant);
  });

  test("puts an instant into the interval that holds it, even where the wall clock went back a day", () => {
    expect(dayOf("Europe/Berlin", Date.parse("2026-03-29T21:59:59.999Z"))).toBe("2026-03-29");
    expect(dayOf("Europe/Berlin", Date.parse("2026-03-29T22:00:00.000Z"))).toBe("2026-03-30");
    expect(dayOf("America/St_Johns", Date.parse("2010-11-07T02:29:59.999Z"))).toBe("2010-11-06");
    expect(dayOf("America/St_Johns", Date.parse("2010-11-07T02:45:00.000Z"))).toBe("2010-11-07");
    expect(dayOf("Pacific/Apia", Date.parse("2011-12-30T10:00:00.000Z"))).toBe("2011-12-31");
  });

  test("counts days over months and leap years", () => {
    expect(addDays("2024-02-28", 1)).toBe("2024-02-29");
    expect(addDays("2026-01-01", -1)).toBe("2025-12-31");
  });
});
