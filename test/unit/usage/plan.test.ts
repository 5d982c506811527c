import type { TenantSpan } from "../../../src/usage/tenant-day.ts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { addDays, countDays } from "../../../src/usage/day.ts";
import {
  CHUNK_SIZE,
  countTenantDays,
  DAY_COST,
  expectedOn,
  listTenantDays,
  planChunks,
  type ChunkPlan,
  type ExpectedEvents,
} from "../../../src/usage/plan.ts";
import { clipSpans } from "../../../src/usage/spans.ts";
import { holds } from "../../support/property.ts";

const span = fc
  .record({ start: fc.integer({ min: 0, max: 9_000 }), length: fc.integer({ min: 0, max: 40 }) })
  .map(({ start, length }) => ({ from: addDays("2000-01-01", start), to: addDays("2000-01-01", start + length - 1) }));
const spans = fc
  .array(fc.record({ range: span, tenant: fc.integer({ min: 0, max: 3 }) }), { maxLength: 8 })
  .map((list) => list.map(({ range, tenant }) => ({ tenant: `t${tenant}`, ...range })));
const events = fc.oneof(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 9_000 }));
const size = fc.record({ events: fc.integer({ min: DAY_COST, max: 5_000 }), days: fc.integer({ min: 1, max: 24 }) });

/** What each tenant is expected to have: an average, and for some of them days of which it is known. */
const expectations = fc.array(fc.record({ average: events, known: fc.option(fc.array(events, { maxLength: 12 })) }), {
  minLength: 4,
  maxLength: 4,
});

/** Deals the known counts to the tenant's days in turn, but for every third day. */
function lookUp(wanted: readonly TenantSpan[], each: readonly { average: number; known: number[] | null }[]) {
  const byTenant = new Map<string, ExpectedEvents>();
  for (const [index, { average, known }] of each.entries()) {
    const own = listTenantDays(wanted.filter(({ tenant }) => tenant === `t${index}`));
    const days = own.flatMap(({ date }, n) =>
      n % 3 === 0 || !known?.length ? [] : [[date, known[n % known.length]] as const],
    );
    byTenant.set(`t${index}`, { average, ...(known ? { days: new Map(days as [string, number][]) } : {}) });
  }
  return (tenant: string) => byTenant.get(tenant) as ExpectedEvents;
}

function costOf({ spans: cut }: ChunkPlan, expected: (tenant: string) => ExpectedEvents): number {
  return listTenantDays(cut).reduce((sum, { tenant, date }) => {
    const { average, days } = expected(tenant);
    return sum + DAY_COST + (days?.get(date) ?? average);
  }, 0);
}

/** In how many chunks, of those up to each, a tenant is. */
const appearances = (chunks: readonly ChunkPlan[], tenant: string) =>
  chunks.filter(({ spans: cut }) => cut.some((part) => part.tenant === tenant)).length;

const planned = (
  check: (
    chunks: ChunkPlan[],
    wanted: TenantSpan[],
    expected: (t: string) => ExpectedEvents,
    most: { events: number; days: number },
  ) => void,
) =>
  holds(
    fc.property(spans, expectations, size, (wanted, each, most) => {
      const expected = lookUp(wanted, each);
      check(planChunks(wanted, expected, most), wanted, expected, most);
    }),
    100,
  );

describe("planChunks", () => {
  test("every tenant-day is in one chunk, a tenant's in their order, and each chunk knows how many it has", () => {
    planned((chunks, wanted) => {
      const cut = chunks.flatMap(({ spans: parts }) => parts);
      for (const tenant of new Set(wanted.map((part) => part.tenant))) {
        const own = (list: readonly TenantSpan[]) => listTenantDays(list.filter((part) => part.tenant === tenant));
        expect(own(cut)).toEqual(own(wanted));
      }
      expect(cut.every(({ from, to }) => from <= to)).toBe(true);
      for (const { days, spans: parts } of chunks) {
        expect(days).toBe(parts.reduce((sum, { from, to }) => sum + countDays(from, to), 0));
        expect(days).toBeGreaterThan(0);
      }
      expect(countTenantDays(cut)).toBe(countTenantDays(wanted));
    });
  });

  test("no chunk holds more days or expected events than it may, but one whose single day is larger", () => {
    planned((chunks, _, expected, most) => {
      for (const chunk of chunks) {
        expect(chunk.days).toBeLessThanOrEqual(most.days);
        expect(chunk.days > 1 && costOf(chunk, expected) > most.events).toBe(false);
      }
    });
  });

  test("a day that is larger than a chunk says how large, and no other does", () => {
    planned((chunks, _, expected, most) => {
      for (const chunk of chunks) {
        const [day] = listTenantDays(chunk.spans);
        const cost = costOf(chunk, expected);
        const told = day && expectedOn(chunk.spans, day.tenant, day.date);
        expect(told).toBe(cost > most.events ? cost - DAY_COST : undefined);
      }
    });
  });

  test("two chunks in a row do not fit into one", () => {
    planned((chunks, _, expected, most) => {
      for (const [index, chunk] of chunks.slice(1).entries()) {
        const before = chunks[index] as ChunkPlan;
        // A tenant's part is never cut again to fill a chunk: the next part is what did not fit.
        const parts = [{ spans: chunk.spans.filter(({ tenant }) => tenant === chunk.spans[0]?.tenant), days: 0 }];
        const next = parts.map((part) => ({ ...part, days: countTenantDays(part.spans) }))[0] as ChunkPlan;
        const isTooMuch =
          before.days + next.days > most.days || costOf(before, expected) + costOf(next, expected) > most.events;
        expect(isTooMuch).toBe(true);
      }
    });
  });

  test("the chunks go round the tenants: nobody has a second one before everybody had a first", () => {
    planned((chunks, wanted) => {
      const tenants = [...new Set(wanted.map(({ tenant }) => tenant))];
      for (let end = 1; end <= chunks.length; end++) {
        const done = tenants.map((tenant) => appearances(chunks.slice(0, end), tenant));
        const left = tenants.map((tenant) => appearances(chunks.slice(end), tenant));
        const least = Math.min(...done.filter((_, n) => (left[n] ?? 0) > 0));
        for (const count of done) expect(count).toBeLessThanOrEqual(least + 1);
      }
    });
  });

  test("empty days too fill a chunk, small tenants share one, and a large one is split by day", () => {
    expect(planChunks([])).toEqual([]);
    const from = "2026-01-01";
    const to = addDays(from, 9);
    const average: Record<string, number> = { huge: 3_000_000, large: 30_000, small: 10 };
    const plan = planChunks(
      [
        { tenant: "empty", from, to: addDays(from, CHUNK_SIZE.days) },
        { tenant: "huge", from, to: addDays(from, 1) },
        { tenant: "large", from, to: addDays(from, 3) },
        { tenant: "small", from, to },
      ],
      (tenant) => ({ average: average[tenant] ?? 0 }),
    );
    expect(plan.map(({ spans: parts }) => parts)).toEqual([
      [{ tenant: "empty", from, to: addDays(from, CHUNK_SIZE.days - 1) }],
      [{ tenant: "huge", from, to: from, expected: 3_000_000 }],
      [
        { tenant: "large", from, to: addDays(from, 2) },
        { tenant: "small", from, to },
        { tenant: "empty", from: addDays(from, CHUNK_SIZE.days), to: addDays(from, CHUNK_SIZE.days) },
      ],
      [{ tenant: "huge", from: addDays(from, 1), to: addDays(from, 1), expected: 3_000_000 }],
      [{ tenant: "large", from: addDays(from, 3), to: addDays(from, 3) }],
    ]);
  });
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

test("a range is clipped to the days on which a tenant is known", () => {
  const known = [
    { tenant: "before", from: "2026-01-01", to: "2026-01-31" },
    { tenant: "within", from: "2026-02-03", to: "2026-02-05" },
    { tenant: "across", from: "2026-01-01", to: "2026-12-31" },
    { tenant: "after", from: "2026-03-01", to: "2026-03-01" },
  ];
  expect(clipSpans(known, { from: "2026-02-01", to: "2026-02-28" })).toEqual([
    { tenant: "within", from: "2026-02-03", to: "2026-02-05" },
    { tenant: "across", from: "2026-02-01", to: "2026-02-28" },
  ]);
});
