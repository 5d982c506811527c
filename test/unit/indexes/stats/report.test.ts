import { expect, test } from "vitest";
import type { LedgerEntry } from "../../../../src/indexes/ledger/ledger.ts";
import { DEFAULTS } from "../../../../src/indexes/manifest/manifest.ts";
import { targetReport, type Catalog } from "../../../../src/indexes/stats/report.ts";
import { daysAgo, hoursAgo, index, sample } from "./samples.ts";

const catalog: Catalog = {
  limits: DEFAULTS.limits,
  declared: [{ name: "a" }],
  limitsByIndex: new Map(),
  states: undefined,
  remarks: [],
  redundant: [],
  contracts: null,
  builds: [],
  newest: new Map(),
  current: new Map(),
};
const kinds = (...given: Parameters<typeof targetReport>) => targetReport(...given).verdicts.map(({ kind }) => kind);

test("one sample calls no index unused, even if the server has counted for long", () => {
  const unused = [index("a", { since: daysAgo(90) })];
  const [earlier, now] = [sample(hoursAgo(1), unused), sample(hoursAgo(0), unused)];
  expect(kinds([now], catalog)).toEqual([]);
  expect(targetReport([now], catalog).notes.join()).toContain("this is the first sample");
  expect(kinds([earlier, now], catalog)).toEqual(["unused"]);
  expect(targetReport([earlier, now], catalog).notes.join()).not.toContain("first sample");
});

test("a declared index is found under its name in the database, with its own limits", () => {
  const states = new Map([["a", { state: "present" as const, as: "theirs" }]]);
  const limitsByIndex = new Map([["a", { sizePct: 1 }]]);
  const report = targetReport([sample(hoursAgo(0), [index("theirs"), index("extra")])], {
    ...catalog,
    states,
    limitsByIndex,
  });
  expect(report.indexes.map(({ name, declaredAs, sizePct }) => [name, declaredAs, sizePct])).toEqual([
    ["theirs", "a", 1.95],
    ["extra", null, 1.95],
  ]);
  expect(report.verdicts).toMatchObject([{ kind: "size", index: "theirs" }]);
  expect(report.declared).toEqual([{ name: "a", state: "ok", as: "theirs" }]);
});

test("if definitions cannot be compared, the name decides and the report says so", () => {
  const remarks = ["definitions are not compared: no right"];
  const of = (...indexes: Parameters<typeof sample>[1]) =>
    targetReport([sample(hoursAgo(0), indexes)], { ...catalog, remarks });
  expect(of(index("a")).declared).toEqual([{ name: "a", state: "ok" }]);
  expect(of(index("a", { state: "invalid" })).declared).toEqual([{ name: "a", state: "invalid" }]);
  expect(of().declared).toEqual([{ name: "a", state: "missing" }]);
  expect(of().notes).toContain(remarks[0]);
});

test("a missing required index is an alert, and a failed build is reported until the index exists", () => {
  const required = { ...catalog, declared: [{ name: "a", required: true as const }] };
  const failed = { state: "failed", error: "no space left", startedAt: daysAgo(1) } as LedgerEntry;
  const newest = new Map([["a", failed]]);
  const report = targetReport([sample(hoursAgo(0), [])], { ...required, newest });
  expect(report.verdicts).toMatchObject([
    { level: "alert", kind: "missing", index: "a" },
    { level: "alert", kind: "build-failed", index: "a", sentence: expect.stringContaining("no space left") as string },
  ]);
  expect(kinds([sample(hoursAgo(0), [index("a")])], { ...required, newest })).toEqual([]);
});

test("broken contracts are alerts; without verification the report has no contracts", () => {
  const now = sample(hoursAgo(0), [index("a")]);
  const contracts = [
    { index: "a", contract: "reads", ok: true, why: [], warnings: [] },
    { index: "a", contract: "lists", ok: false, why: ["a sort"], warnings: [] },
  ];
  const report = targetReport([now], { ...catalog, contracts });
  expect(report.contracts).toEqual(contracts);
  expect(report.verdicts).toMatchObject([{ level: "alert", kind: "contract", index: "a" }]);
  expect(targetReport([now], catalog).contracts).toBeNull();
});

test("the report says that scans on other nodes are not counted", () => {
  const notes = (otherNodes: number) => targetReport([sample(hoursAgo(0), [], { otherNodes })], catalog).notes.join();
  expect(notes(2)).toContain("scans are those of 10.0.0.1:5432 alone; 2 other node(s) are not asked");
  expect(notes(0)).not.toContain("alone");
});

test("what verifying warned of is one warning, though several contracts of the index say it, also where they are kept", () => {
  const now = sample(hoursAgo(0), [index("a")]);
  const warnings = [{ kind: "multikey" as const, sentence: "a is multikey" }];
  const contracts = ["reads", "lists"].map((contract) => ({ index: "a", contract, ok: true, why: [], warnings }));
  expect(targetReport([now], { ...catalog, contracts }).verdicts).toEqual([
    { level: "warn", kind: "multikey", index: "a", sentence: "a is multikey" },
  ]);
});
