import fc from "fast-check";
import { expect, test } from "vitest";
import type { Rolling } from "../../../src/indexes/manifest/manifest.ts";
import { isOlderWindow, rollingFault, windowAt } from "../../../src/indexes/manifest/rolling.ts";
import { holds } from "../../support/property.ts";

const at = (text: string) => new Date(text);

test.each([
  ["monthly", "1 month", "2026-01-31T23:59:59Z", "w__2026_01", "2025-12-01"],
  ["monthly", "1 month", "2026-03-01T00:00:00Z", "w__2026_03", "2026-02-01"],
  ["monthly", "90 days", "2026-11-21T12:00:00Z", "w__2026_11", "2026-08-03"],
  ["weekly", "2 weeks", "2026-11-22T12:00:00Z", "w__2026_11_16", "2026-11-02"],
  ["weekly", "1 week", "2026-11-23T00:00:00Z", "w__2026_11_23", "2026-11-16"],
  ["daily", "1 month", "2026-03-31T08:00:00Z", "w__2026_03_31", "2026-02-28"],
  ["daily", "1 year", "2028-02-29T08:00:00Z", "w__2028_02_29", "2027-02-28"],
] as const)("%s, keeping %s, at %s", (rotate, keep, now, name, bound) => {
  expect(windowAt("w", { column: "c", keep, rotate }, at(now))).toMatchObject({
    name,
    bound: `${bound}T00:00:00.000Z`,
  });
});

test("at any time the window reaches back at least by keep, and at most by one period more", () => {
  const longest = { daily: 1, weekly: 7, monthly: 31 };
  holds(
    fc.property(
      fc.date({ min: at("2000-01-01T00:00:00Z"), max: at("2100-01-01T00:00:00Z"), noInvalidDate: true }),
      fc.constantFrom<Rolling["rotate"]>("daily", "weekly", "monthly"),
      fc.integer({ min: 1, max: 400 }),
      (now, rotate, days) => {
        const { bound, name } = windowAt("w", { column: "c", keep: `${days} days`, rotate }, now);
        const reach = (now.getTime() - Date.parse(bound)) / 86_400_000;
        expect(reach).toBeGreaterThanOrEqual(days);
        expect(reach).toBeLessThan(days + longest[rotate]);
        const later = windowAt(
          "w",
          { column: "c", keep: `${days} days`, rotate },
          new Date(now.getTime() + 32 * 86_400_000),
        );
        expect(isOlderWindow(name, later)).toBe(true);
        expect(isOlderWindow(later.name, later)).toBe(false);
      },
    ),
  );
});

test("only windows of the same index count as older windows", () => {
  const window = windowAt("w", { column: "c", keep: "1 month", rotate: "monthly" }, at("2026-11-21T00:00:00Z"));
  expect(
    ["w__2026_10", "w", "w__old", "w2__2026_10", "w__2026_12", "w__2026_10_x"].filter((name) =>
      isOlderWindow(name, window),
    ),
  ).toEqual(["w__2026_10"]);
});

test("a keep that is no length of time is a fault", () => {
  const fault = (keep: string) => rollingFault({ column: "c", keep, rotate: "daily" });
  expect(["1 month", "90 days", "2 weeks", "1 year"].map(fault)).toEqual([undefined, undefined, undefined, undefined]);
  for (const keep of ["", "0 days", "month", "-1 day", "1.5 months", "1 day; DROP TABLE x"]) {
    expect(fault(keep)).toMatch(/keep must be like/);
  }
});
