import fc from "fast-check";
import { expect, test } from "vitest";
import { addDays, countDays } from "../../../src/usage/day.ts";
import { CHUNK_DAYS, listTenantDays, planChunks } from "../../../src/usage/plan.ts";

const span = fc
  .record({ start: fc.integer({ min: 0, max: 9_000 }), length: fc.integer({ min: 0, max: 40 }) })
  .map(({ start, length }) => ({ from: addDays("2000-01-01", start), to: addDays("2000-01-01", start + length - 1) }));
const spans = fc
  .array(span, { maxLength: 6 })
  .map((list) => list.map((range, index) => ({ tenant: `t${index}`, ...range })));

test("every tenant-day is in one chunk, in order, and all chunks but the last are full", () => {
  fc.assert(
    fc.property(spans, fc.integer({ min: 1, max: 24 }), (wanted, size) => {
      const chunks = planChunks(wanted, size);
      expect(chunks.flatMap((chunk) => listTenantDays(chunk.spans))).toEqual(listTenantDays(wanted));
      for (const [index, { days, spans: cut }] of chunks.entries()) {
        expect(days).toBe(cut.reduce((sum, { from, to }) => sum + countDays(from, to), 0));
        if (index < chunks.length - 1) expect(days).toBe(size);
        expect(days).toBeGreaterThan(0);
        expect(days).toBeLessThanOrEqual(size);
        expect(cut.every(({ from, to }) => from <= to)).toBe(true);
      }
    }),
    { numRuns: 50 },
  );
});

test("the tenant-days of spans are each span's days, both ends included", () => {
  expect(
    listTenantDays([
      { tenant: "b", from: "2024-02-28", to: "2024-03-01" },
      { tenant: "a", from: "2025-12-31", to: "2025-12-31" },
      { tenant: "c", from: "2025-01-02", to: "2025-01-01" },
    ]),
  ).toEqual([
    { tenant: "b", date: "2024-02-28" },
    { tenant: "b", date: "2024-02-29" },
    { tenant: "b", date: "2024-03-01" },
    { tenant: "a", date: "2025-12-31" },
  ]);
});

test("a long span is split by day, and short ones share a chunk", () => {
  const chunks = planChunks([
    { tenant: "long", from: "2026-01-01", to: addDays("2026-01-01", CHUNK_DAYS) },
    { tenant: "short", from: "2026-01-01", to: "2026-01-02" },
  ]);
  expect(chunks).toEqual([
    { spans: [{ tenant: "long", from: "2026-01-01", to: "2026-02-01" }], days: CHUNK_DAYS },
    {
      spans: [
        { tenant: "long", from: "2026-02-02", to: "2026-02-02" },
        { tenant: "short", from: "2026-01-01", to: "2026-01-02" },
      ],
      days: 3,
    },
  ]);
  expect(planChunks([])).toEqual([]);
});
