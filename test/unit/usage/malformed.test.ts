import fc from "fast-check";
import { expect, test } from "vitest";
import { notExamined, placesOf, type MalformedField } from "../../../src/usage/malformed.ts";
import { holds } from "../../support/property.ts";

const field = (events: number, differs: Partial<MalformedField> = {}): MalformedField => {
  return { field: "cost", reason: "wrongType", found: "string", events, sampleId: `"e${events}"`, ...differs };
};

test("places sum the days of a tenant, with the sample of the day that has the most", () => {
  const days = [
    { tenant: "a", date: "2026-03-02", fields: [field(2), field(1, { reason: "negative", found: "int" })] },
    { tenant: "a", date: "2026-03-01", fields: [field(5, { found: "bool" })] },
    { tenant: "b", date: "2026-03-03", fields: [field(1)] },
    { tenant: "c", date: "2026-03-03", fields: [notExamined(7)] },
    { tenant: "d", date: "2026-03-03", fields: [] },
  ];
  expect(placesOf(days)).toEqual([
    { tenant: "a", ...field(7, { found: "bool", sampleId: '"e5"' }), days: 2, lastDay: "2026-03-02" },
    { tenant: "a", ...field(1, { reason: "negative", found: "int" }), days: 1, lastDay: "2026-03-02" },
    { tenant: "b", ...field(1), days: 1, lastDay: "2026-03-03" },
    {
      tenant: "c",
      field: "unknown",
      reason: "notExamined",
      found: "",
      events: 7,
      sampleId: null,
      days: 1,
      lastDay: "2026-03-03",
    },
  ]);
});

test("places have the events of all days, in any order of the days", () => {
  const anyDay = fc.record({
    tenant: fc.constantFrom("a", "b"),
    date: fc.constantFrom("2026-03-01", "2026-03-02", "2026-03-03"),
    fields: fc.array(
      fc.record({
        field: fc.constantFrom("cost" as const, "model" as const),
        reason: fc.constantFrom("wrongType" as const, "negative" as const),
        found: fc.constant("string"),
        events: fc.integer({ min: 1, max: 9 }),
        sampleId: fc.constant('"e"'),
      }),
    ),
  });
  const sorted = (places: ReturnType<typeof placesOf>) => places.map((one) => JSON.stringify(one)).sort();
  holds(
    fc.property(fc.array(anyDay), (days) => {
      const places = placesOf(days);
      const all = days.flatMap(({ fields }) => fields).reduce((sum, { events }) => sum + events, 0);
      expect(places.reduce((sum, { events }) => sum + events, 0)).toBe(all);
      expect(sorted(placesOf(days.toReversed()))).toEqual(sorted(places));
    }),
  );
});
