import fc from "fast-check";
import { expect, test } from "vitest";
import { findingsOf, type TargetFinding } from "../../../src/indexes/check/check.ts";
import type { DeclaredIndex } from "../../../src/indexes/engines/engine.ts";
import { keyOf, currentEntries, type LedgerEntry } from "../../../src/indexes/ledger/ledger.ts";
import { ATTRIBUTES } from "../../../src/indexes/engines/mongo/normal-form.ts";
import { holds } from "../../support/property.ts";
import type { Observation, ActualIndex, DeclaredForm } from "../../../src/indexes/decision/observation.ts";
import { compare } from "../../../src/indexes/decision/state.ts";
import { sameForm } from "../../../src/indexes/decision/normal-form.ts";

const MANIFEST = { version: 1, project: "test" } as const;

function find(
  declared: readonly DeclaredIndex[],
  shapes: readonly (DeclaredForm | [string, Error])[],
  actual: readonly ActualIndex[],
  more: { ledger?: readonly LedgerEntry[]; view?: Partial<Observation>; ignore?: readonly string[] } = {},
): TargetFinding {
  const view: Observation = {
    actual,
    declared: new Map(shapes.map((one): [string, DeclaredForm | Error] => ("name" in one ? [one.name, one] : one))),
    rules: {},
    busy: false,
    ...more.view,
  };
  const targets = new Map([["t", declared]]);
  const engine = { name: "postgres", targets, ignored: new Set(more.ignore), definition: () => "CREATE" } as const;
  return findingsOf(engine, "t", view, more.ledger ?? [], MANIFEST);
}

const entry = (change: Partial<LedgerEntry>): LedgerEntry => ({
  target: "t",
  name: "one",
  project: "test",
  runId: "r1",
  intent: "create",
  state: "done",
  fingerprint: "f",
  definition: "d",
  startedAt: "2026-01-01",
  ...change,
});
const shape = (keys: string) => ({ keys });
const actual = (name: string, change: Partial<ActualIndex> = {}): ActualIndex => ({
  name,
  form: shape("a"),
  valid: true,
  building: false,
  ...change,
});
const one = { name: "one", form: shape("a") };

test("an invalid index is reported as the leftover of a build or of a drop, as the ledger says", () => {
  const left = [actual("one", { valid: false })];
  const status = (ledger: readonly LedgerEntry[]) => find([one], [one], left, { ledger }).indexes[0]?.status;
  expect(status([])).toBe("invalid-create");
  expect(status([entry({ state: "started" })])).toBe("invalid-create");
  expect(status([entry({ intent: "drop", state: "started" })])).toBe("invalid-drop");
  expect(status([entry({ intent: "drop", state: "done" })])).toBe("invalid-create");
});

test("a difference in TTL or hidden alone is attrs; with any other part it is different", () => {
  const view = { rules: { attributes: ATTRIBUTES } };
  const status = (found: Record<string, string>) =>
    find([one], [one], [actual("one", { form: { ...shape("a"), ...found } })], { view }).indexes[0]?.status;
  expect(status({ hidden: "true" })).toBe("attrs");
  expect(status({ hidden: "true", expireAfterSeconds: "5" })).toBe("attrs");
  expect(status({ hidden: "true", sparse: "true" })).toBe("different");
  expect(status({ partial: "hidden: 5" })).toBe("different");
});

test("a statement is printed for a missing, invalid or different index, but not for one that is only checked", () => {
  const given = (change: Partial<DeclaredIndex>) => find([{ ...one, ...change }], [one], []).indexes[0];
  expect(given({})).toMatchObject({ status: "missing", statement: "CREATE" });
  expect(given({ checked: true })).not.toHaveProperty("statement");
  expect(given({ constraint: "primary" })).not.toHaveProperty("statement");
});

test("a refused definition is unusable, a missing target is table-missing", () => {
  expect(find([one], [["one", new Error("no such column")]], []).indexes).toMatchObject([
    { status: "unusable", detail: "no such column" },
  ]);
  expect(find([one], [], [], { view: { isMissing: true, unusable: "no table" } })).toMatchObject({
    isMissing: true,
    indexes: [{ status: "table-missing", detail: "no table" }],
  });
});

test("the newest entry is the current one, unless it is a replacement that failed or was rolled back", () => {
  const current = (...entries: Partial<LedgerEntry>[]) =>
    currentEntries(entries.map((change, at) => entry({ runId: `r${at}`, ...change }))).get(keyOf(entry({})))?.runId;
  expect(current({}, { intent: "adopt" })).toBe("r1");
  expect(current({}, { intent: "replace" })).toBe("r1");
  expect(current({}, { intent: "replace", state: "started" })).toBe("r1");
  expect(current({}, { intent: "replace", state: "failed" })).toBe("r0");
  expect(current({}, { intent: "replace", state: "rolled_back" })).toBe("r0");
  expect(current({}, { intent: "restore", state: "rolled_back" })).toBe("r0");
  // What was dropped is gone, with whatever was before it.
  expect(current({}, { state: "rolled_back" })).toBe("r1");
  expect(current({}, { intent: "drop", state: "rolled_back" })).toBe("r1");
});

const NAMES = ["one", "two", "three", "four"];
const arbitraryShape = fc.record({ keys: fc.constantFrom("a", "b"), where: fc.constantFrom("", "c") });
const arbitraryIndex = (name: string) =>
  fc
    .record({
      shape: arbitraryShape,
      state: fc.constantFrom("valid", "valid", "invalid", "building"),
      constraint: fc.constantFrom(undefined, undefined, "unique" as const),
    })
    .map(({ shape: its, state, constraint }): ActualIndex => ({
      name,
      form: its,
      valid: state === "valid",
      building: state === "building",
      ...(constraint ? { constraint } : {}),
    }));
const arbitraryActual = fc
  .subarray(NAMES)
  .chain((names) => fc.tuple(...names.map(arbitraryIndex)))
  .map((indexes): ActualIndex[] => indexes);
const arbitraryDeclared = fc
  .record({ shape: arbitraryShape, constraint: fc.constantFrom(undefined, undefined, "unique" as const) })
  .map(({ shape: its, constraint }): DeclaredForm => ({
    name: "one",
    form: its,
    ...(constraint ? { constraint } : {}),
  }));

test("property: no index is created beside one of its name or definition, and none in use is called a leftover", () => {
  holds(
    fc.property(arbitraryDeclared, arbitraryActual, (declared, indexes) => {
      const decision = compare(declared, indexes);
      const named = indexes.find(({ name }) => name === declared.name);
      const fits = (index: ActualIndex) => !declared.constraint || index.constraint === declared.constraint;
      const equal = indexes.filter((index) => sameForm(index.form, declared.form) && fits(index));
      switch (decision.state) {
        case "missing":
          expect(named).toBeUndefined();
          expect(equal.filter(({ valid, building }) => valid || building)).toEqual([]);
          break;
        case "present":
          expect(equal.some(({ name, valid }) => name === (decision.as ?? "one") && valid)).toBe(true);
          break;
        case "building":
          expect(
            indexes.some(
              (index) => index.name === (decision.as ?? "one") && index.building && sameForm(index.form, declared.form),
            ),
          ).toBe(true);
          break;
        case "invalid":
          expect(named).toMatchObject({ valid: false, building: false, form: declared.form });
          break;
        case "different":
          expect(decision.found).toBe(named);
          expect(named && sameForm(named.form, declared.form) && fits(named)).toBe(false);
      }
      // In whatever order the server lists them.
      expect(compare(declared, [...indexes].reverse()).state).toBe(decision.state);
    }),
    2_000,
  );
});

test("each existing index occurs once in the report: as declared, as the equal of a declared one, or as undeclared", () => {
  holds(
    fc.property(arbitraryDeclared, arbitraryActual, fc.subarray(NAMES), (declared, indexes, ignore) => {
      const report = find([{ name: "one" }], [declared], indexes, { ignore });
      const [own, ...others] = report.indexes;
      const renamed = own?.status === "renamed" ? [own.detail?.slice("as ".length)] : [];
      const accounted = [...others.map(({ name }) => name), ...renamed];
      const expected = indexes.map(({ name }) => name).filter((name) => name !== "one");
      expect(accounted.filter((name) => !ignore.includes(name ?? "")).sort()).toEqual(
        expected.filter((name) => !ignore.includes(name)).sort(),
      );
      expect(report.count).toBe(indexes.length);
      expect(others.every(({ status }) => ["extra", "building", "invalid-foreign"].includes(status))).toBe(true);
      expect(report.advice.filter(({ kind }) => kind === "extra").map(({ name }) => name)).toEqual(
        others.filter(({ status }) => status === "extra").map(({ name }) => name),
      );
    }),
    1_000,
  );
});
