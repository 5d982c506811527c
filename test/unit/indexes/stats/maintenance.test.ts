import { describe, expect, test } from "vitest";
import { planMaintenance } from "../../../../src/indexes/maintain.ts";
import { leftoversOf } from "../../../../src/indexes/engines/postgres/reindex.ts";
import type { IndexReport, TargetReport } from "../../../../src/indexes/stats/report.ts";
import { hoursAgo, index, sample } from "./samples.ts";

const MB = 1024 ** 2;

function report(name: string, more: Partial<IndexReport> = {}): IndexReport {
  const { cache: _cache, ...figures } = index(name);
  const unknown = { sizePct: null, newScans: null, hit: null, unusedSince: null, bloat: null, baseline: null };
  return { ...figures, declaredAs: name, ...unknown, ...more };
}

function target(indexes: readonly IndexReport[], more: Partial<TargetReport> = {}): TargetReport {
  const { at, epoch: _epoch, ...figures } = sample(hoursAgo(0), []);
  const nothing = { sizePct: null, fullScans: null, declared: [], contracts: null, verdicts: [], notes: [] };
  return { ...figures, ...nothing, samples: 1, firstSample: at, indexes, ...more };
}

const plan = (indexes: readonly IndexReport[], request = {}) =>
  planMaintenance({ targets: [target(indexes)] }, request).map(({ name, action, state }) =>
    [name, action, state].join(" "),
  );

describe("the plan", () => {
  test("the plan rebuilds bloated large indexes, and says why it leaves the others", () => {
    const indexes = [
      report("a", { bloat: 2, bytes: 10 * MB }),
      report("b", { bloat: 1.9 }),
      report("c", { bloat: 9, bytes: 10 * MB - 1 }),
      report("d"),
      report("e", { bloat: 9, declaredAs: null }),
    ];
    expect(plan(indexes)).toEqual(["a reindex planned", "b none left", "c none left", "d none left"]);
    const [, , c, d] = planMaintenance({ targets: [target(indexes)] }, {});
    expect(c?.why).toBe("9.0 times the baseline, but below 10.0 MB");
    expect(d?.why).toBe("no baseline is known yet");
  });

  test("the plan rebuilds a named index, declared or not, bloated or not", () => {
    expect(plan([report("a", { bloat: 9 }), report("b", { declaredAs: null })], { index: "b" })).toEqual([
      "b reindex planned",
    ]);
    expect(() => plan([report("a")], { index: "b" })).toThrow(/has an index b/);
  });

  test("the plan refuses an index that is invalid or cannot be rebuilt online", () => {
    expect(plan([report("a", { guards: ["exclusion constraint"], bloat: 9 })])).toEqual(["a refused left"]);
    expect(plan([report("a", { state: "invalid", bloat: 9 })], { index: "a" })).toEqual(["a refused left"]);
    expect(plan([report("a", { state: "building", bloat: 9 })])).toEqual(["a refused left"]);
  });

  test("the plan compacts only on request", () => {
    const targets = [target([report("a", { bloat: 9 })], { engine: "mongodb", target: "events" })];
    expect(planMaintenance({ targets }, {})).toEqual([]);
    expect(planMaintenance({ targets }, { compact: true })).toMatchObject([{ target: "events", action: "compact" }]);
  });
});

describe("leftovers of a rebuild", () => {
  const of = (name: string, found: readonly string[], spared: readonly string[] = []) =>
    leftoversOf(
      name,
      new Set(spared),
      found.map((one) => ({ oid: `oid of ${one}`, name: one })),
    );

  test("leftovers have the index's name with PostgreSQL's suffix, and did not exist before the rebuild", () => {
    const found = ["a", "a_ccnew", "a_ccnew1", "a_ccold", "a_ccnewer", "ab_ccnew", "a_b_ccnew", "b_ccnew"];
    expect(of("a", found)).toEqual(["a_ccnew", "a_ccnew1", "a_ccold"]);
    expect(of("a", found, ["oid of a_ccnew"])).toEqual(["a_ccnew1", "a_ccold"]);
  });

  test("leftovers of an index with a long name have a shortened name", () => {
    const name = "x".repeat(63);
    expect(of(name, [`${"x".repeat(57)}_ccnew`, `${"x".repeat(56)}_ccnew`, `${"x".repeat(56)}_ccnew1`])).toEqual([
      `${"x".repeat(57)}_ccnew`,
      `${"x".repeat(56)}_ccnew1`,
    ]);
    expect(of("é".repeat(31), [`${"é".repeat(28)}_ccnew`])).toEqual([`${"é".repeat(28)}_ccnew`]);
  });
});
