import { MongoServerError, type MongoClient } from "mongodb";
import { describe, expect, test } from "vitest";
import type { TestModule } from "vitest/node";
import { ASSUMPTIONS } from "../../dev/check-mongodb/assumptions.ts";
import { HOLDS, differs, type Assumption, type Verdict } from "../../dev/check-mongodb/assumption.ts";
import { readRun, type TestRun } from "../../dev/check-mongodb/integration.ts";
import { exitCodeOf, reportJson, reportLines } from "../../dev/check-mongodb/report.ts";
import { scratchDatabase } from "../../dev/check-mongodb/scratch.ts";
import { isNews, knownOf, type Result, type Server } from "../../dev/check-mongodb/try-all.ts";
import { UsageError } from "../../src/errors.ts";

describe("the assumptions about MongoDB", () => {
  test("have ids of their own, a source, and a check or a reason why there is none", () => {
    const ids = ASSUMPTIONS.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.filter((id) => !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(id))).toEqual([]);
    const empty = ASSUMPTIONS.filter((row) => [row.says, row.why, row.source].some((text) => text.length < 10));
    expect(empty.map(({ id }) => id)).toEqual([]);
    const silent = ASSUMPTIONS.filter((row) => "ferret" in row && row.ferret.verdict !== "holds" && !row.ferret.note);
    expect(silent.map(({ id }) => id)).toEqual([]);
  });

  test("are many, and most are tried on a server", () => {
    expect(ASSUMPTIONS.length).toBeGreaterThan(60);
    expect(ASSUMPTIONS.filter((row) => "check" in row).length).toBeGreaterThan(50);
  });
});

describe("a verdict is news", () => {
  test.each<[Verdict, Verdict, boolean, boolean]>([
    ["holds", "holds", true, false],
    ["differs", "holds", true, true],
    ["differs", "differs", true, false],
    ["holds", "differs", true, true],
    ["holds", "cannot tell", true, true],
    ["cannot tell", "holds", true, true],
    ["differs", "holds", false, true],
    ["differs", "differs", false, false],
    ["cannot tell", "holds", false, false],
    ["holds", "differs", false, false],
  ])("%s where %s is known, on FerretDB %s: %s", (verdict, known, isFerret, expected) => {
    expect(isNews(verdict, { verdict: known }, isFerret)).toBe(expected);
  });
});

test("a MongoDB older than a row is known to differ, any other to hold", () => {
  const since = { ...row("a", differs("otherwise")), since: [5, 2] } as Assumption;
  const on = (major: number, minor: number) => knownOf(since, { isFerret: false, version: [major, minor] });
  expect([on(4, 4), on(5, 0)]).toEqual(Array(2).fill({ verdict: "differs", note: "it is so since 5.2" }));
  expect([on(5, 2), on(8, 0)]).toEqual([HOLDS, HOLDS]);
  expect(knownOf(since, { isFerret: true, version: [7, 0] })).toEqual({ verdict: "differs", note: "otherwise" });
});

const fine: TestRun = { passed: 3, failed: [] };
const row = (id: string, ferret = HOLDS): Assumption => ({
  id,
  says: `${id} is so.`,
  why: "Because.",
  source: "manual",
  heldBy: [],
  check: () => Promise.reject(new Error("not tried")),
  ferret,
});
const result = (verdict: Result["verdict"], more: Partial<Result> = {}): Result => ({
  row: row("a"),
  verdict,
  observed: "seen",
  isNews: false,
  ...more,
});
const ferret: Server = { isFerret: true, product: "FerretDB v2.7.0", version: [7, 0] };
const checked = (results: readonly Result[], tests = fine) => ({ server: ferret, results, tests });

test("the exit code is 3 for news and for a failed test, else 0", () => {
  expect(exitCodeOf(checked([result("holds"), result("differs"), result("not tried")]))).toBe(0);
  expect(exitCodeOf(checked([result("differs", { isNews: true })]))).toBe(3);
  expect(exitCodeOf(checked([result("holds")], { ...fine, failed: [{ test: "t", message: "m" }] }))).toBe(3);
});

test("the table is filled in: what a row says, its source, and what was seen, with what is known of the server", () => {
  const [first, second] = ASSUMPTIONS as [Assumption, Assumption];
  const known = { ...second, ferret: differs("it has another order") } as Assumption;
  const lines = reportLines(checked([result("holds", { row: first, isNews: true })]));
  expect(lines).toContain(`  ${first.id}`);
  expect(lines).toContain(`    says    ${first.says}`);
  expect(lines).toContain(`    source  ${first.source}`);
  expect(lines).toContain("    here    holds: seen (not known of this server)");
  expect(lines.at(-1)).toBe(
    "FerretDB v2.7.0: of 1 assumptions 1 hold, 0 differ, 0 cannot be told here, 0 need another set-up; 1 not known before. Tests: 3 passed, 0 failed.",
  );
  const document = reportJson(checked([result("differs", { row: known })]));
  expect(document).toMatchObject({ ok: true, rows: [{ id: second.id, verdict: "differs", observed: "seen" }] });
});

test("a run of the tests lists what failed, did not run, or could not be loaded; without any test it fails", () => {
  const module = (tests: readonly [name: string, state: string, message?: string][], errors: string[] = []) =>
    ({
      moduleId: "/x/a.test.ts",
      errors: () => errors.map((message) => ({ message })),
      children: {
        allTests: () =>
          tests.map(([fullName, state, message]) => ({
            fullName,
            result: () => ({ state, errors: message === undefined ? undefined : [{ message }] }),
          })),
      },
    }) as unknown as TestModule;
  expect(readRun([module([["is so", "passed"]])])).toEqual({ passed: 1, failed: [] });
  const some = readRun([module([["is so", "passed"], ["is not", "failed", "expected 1"], ["was left", "skipped"]])]); // prettier-ignore
  expect(some.passed).toBe(1);
  expect(some.failed.map(({ test, message }) => `${test.replace(/^.*a\.test/, "a.test")}, ${message}`)).toEqual([
    "a.test.ts: is not, expected 1",
    "a.test.ts: was left, it is skipped",
  ]);
  expect(readRun([module([], ["cannot be loaded"])]).failed).toMatchObject([{ message: "cannot be loaded" }]);
  expect(readRun([]).failed).toEqual([{ test: "vitest", message: "no test was found" }]);
});

describe("a user without rights", () => {
  const denied = () => Promise.reject(new MongoServerError({ message: "not authorized on x", code: 13 }));
  const client = (answers: { list: () => Promise<unknown[]>; drop: () => Promise<unknown> }) =>
    ({
      db: () => ({ listCollections: () => ({ toArray: answers.list }), dropDatabase: answers.drop }),
    }) as unknown as MongoClient;

  test("reads which roles are needed, and that nothing was touched", async () => {
    const made = scratchDatabase(client({ list: denied, drop: denied }), "scratch");
    await expect(made).rejects.toThrow(UsageError);
    await expect(made).rejects.toThrow(
      /not authorized on x\. Nothing was touched\. Grant it readWriteAnyDatabase, dbAdmin/,
    );
  });

  test("reads which database is left behind where the server does not drop it", async () => {
    const scratch = await scratchDatabase(client({ list: () => Promise.resolve([]), drop: denied }), "scratch");
    await expect(scratch.drop()).rejects.toThrow(
      "The database scratch was not dropped: not authorized on x. Drop it by hand.",
    );
  });
});
