import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { sameForm } from "../../../src/indexes/decision/normal-form.ts";
import type { ActualIndex, Observation, Rules } from "../../../src/indexes/decision/observation.ts";
import type { DeclaredIndex } from "../../../src/indexes/engines/engine.ts";
import { nextStep, type Look, type Policy, type Step } from "../../../src/indexes/ensure/next-step.ts";
import type { Intent, LedgerEntry, LedgerState } from "../../../src/indexes/ledger/ledger.ts";
import { holds } from "../../support/property.ts";

const FORM = { keys: "a" };
const OTHER_FORM = { keys: "b" };
const PRIMARY = { constraint: "primary" } as const;

const actual = (change: Partial<ActualIndex> = {}): ActualIndex => ({
  name: "one",
  form: FORM,
  valid: true,
  building: false,
  ...change,
});
const entry = (intent: Intent, state: LedgerState): LedgerEntry => ({
  ...{ target: "t", name: "one", project: "test", runId: "r1", fingerprint: "f", definition: "d" },
  ...{ intent, state, startedAt: "2026-01-01" },
});

/** One view for an index of the keeper's, and the same for the index of a constraint. */
function viewOf(found: readonly ActualIndex[], more: Partial<Observation> = {}) {
  return (constraint: Pick<ActualIndex, "constraint">): Observation => ({
    actual: found.map((index) => ({ ...index, ...constraint })),
    declared: new Map([["one", { name: "one", form: FORM, ...constraint }]]),
    rules: {},
    busy: false,
    ...more,
  });
}

const VIEWS = {
  "nothing is there": viewOf([]),
  "it is there": viewOf([actual()]),
  "it is there under another name": viewOf([actual({ name: "other" })]),
  "it is being built": viewOf([actual({ valid: false, building: true })]),
  "it is being built under another name": viewOf([actual({ name: "other", valid: false, building: true })]),
  "it is invalid": viewOf([actual({ valid: false })]),
  "another definition has its name": viewOf([actual({ form: OTHER_FORM })]),
  "another definition, invalid, has its name": viewOf([actual({ form: OTHER_FORM, valid: false })]),
  "another definition, being built, has its name": viewOf([actual({ form: OTHER_FORM, valid: false, building: true })]),
  "its name belongs to a relation that is no index": viewOf([], { rules: { taken: new Map([["one", "a view"]]) } }),
  "there is no collection": viewOf([], { isMissing: true }),
  "there is no table": viewOf([], { isMissing: true, unusable: "run the migrations first" }),
  "the target is no table": viewOf([], { unusable: "it is a view" }),
  "the server refuses the definition": viewOf([], { declared: new Map([["one", new Error("no such column")]]) }),
  "nothing is there, and another index is being built": viewOf([], { busy: true }),
  "it is there, and another index is being built": viewOf([actual()], { busy: true }),
  "it is invalid, and another index is being built": viewOf([actual({ valid: false })], { busy: true }),
  "another definition has its name, and another index is being built": viewOf([actual({ form: OTHER_FORM })], {
    busy: true,
  }),
};

const NOTHING: Policy = { mayReplace: false, mayCreateTarget: false, isCancelled: false };
const EVERYTHING: Policy = { mayReplace: true, mayCreateTarget: true, isCancelled: false };
const OURS: DeclaredIndex = { name: "one" };

const told = (step: Step): string => (step.do === "refuse" ? `refuse: ${step.action}` : step.do);

const [FAILED, DIFFERENT] = ["refuse: failed", "refuse: different"];
/**
 * What is next where nothing is allowed, where everything is, after a cancellation, and after a look for another index.
 */
type Row = readonly [nothing: string, everything: string, cancelled: string, stale: string];
const REFUSED: Row = [FAILED, FAILED, FAILED, "look"];
const TAKEN: Row = [DIFFERENT, DIFFERENT, DIFFERENT, "look"];
const WAITED_FOR: Row = ["wait", "wait", FAILED, "look"];
const THERE: Row = ["adopt", "adopt", "adopt", "adopt"];

const OF_OURS: Readonly<Record<keyof typeof VIEWS, Row>> = {
  "nothing is there": ["create", "create", FAILED, "look"],
  "it is there": THERE,
  "it is there under another name": THERE,
  "it is being built": WAITED_FOR,
  "it is being built under another name": WAITED_FOR,
  "it is invalid": ["repair", "repair", FAILED, "look"],
  "another definition has its name": [DIFFERENT, "replace", FAILED, "look"],
  "another definition, invalid, has its name": TAKEN,
  "another definition, being built, has its name": TAKEN,
  "its name belongs to a relation that is no index": TAKEN,
  "there is no collection": [FAILED, "create", FAILED, "look"],
  "there is no table": REFUSED,
  "the target is no table": REFUSED,
  "the server refuses the definition": REFUSED,
  "nothing is there, and another index is being built": WAITED_FOR,
  "it is there, and another index is being built": THERE,
  "it is invalid, and another index is being built": WAITED_FOR,
  "another definition has its name, and another index is being built": [DIFFERENT, "wait", FAILED, "look"],
};
/** Of an index that is only checked, and of a constraint's. */
const OF_OTHERS: Readonly<Record<keyof typeof VIEWS, Row>> = {
  ...OF_OURS,
  "nothing is there": REFUSED,
  "it is there": ["done", "done", "done", "done"],
  "it is there under another name": ["done", "done", "done", "done"],
  "it is invalid": REFUSED,
  "another definition has its name": TAKEN,
  "there is no collection": REFUSED,
  "nothing is there, and another index is being built": REFUSED,
  "it is there, and another index is being built": ["done", "done", "done", "done"],
  "it is invalid, and another index is being built": REFUSED,
  "another definition has its name, and another index is being built": TAKEN,
};

const names = Object.keys(VIEWS) as (keyof typeof VIEWS)[];

describe.each(names)("%s", (name) => {
  const rowOf = (index: DeclaredIndex, constraint: typeof PRIMARY | Record<string, never>): Row => {
    const look: Look = { target: "t", view: VIEWS[name](constraint), isFresh: true, entry: null };
    return [
      told(nextStep(look, index, NOTHING)),
      told(nextStep(look, index, EVERYTHING)),
      told(nextStep(look, index, { ...EVERYTHING, isCancelled: true })),
      told(nextStep({ ...look, isFresh: false }, index, EVERYTHING)),
    ];
  };
  test("and the keeper may make it", () => expect(rowOf(OURS, {})).toEqual(OF_OURS[name]));
  test("and it is only checked", () => expect(rowOf({ ...OURS, checked: true }, {})).toEqual(OF_OTHERS[name]));
  test("and it is a constraint's", () => expect(rowOf({ ...OURS, ...PRIMARY }, PRIMARY)).toEqual(OF_OTHERS[name]));
});

describe("the ledger says whose an existing index is", () => {
  const step = (known: Look["entry"], found = actual(), rules: Rules = {}) =>
    nextStep({ target: "t", view: viewOf([found], { rules })({}), isFresh: true, entry: known }, OURS, EVERYTHING);

  test.each([
    ["it was not read yet", undefined, "consult"],
    ["it has no entry", null, "adopt"],
    ["the keeper made it", entry("create", "done"), "done"],
    ["it was there before", entry("adopt", "done"), "done"],
    ["a build did not report its end", entry("create", "started"), "finish"],
    ["a replacement did not report its end", entry("replace", "started"), "finish"],
    ["a rollback that brings back did not report its end", entry("restore", "started"), "done"],
    ["a build failed, so that somebody else made it", entry("create", "failed"), "adopt"],
    ["it was taken back, so that somebody else made it", entry("create", "rolled_back"), "adopt"],
  ])("%s", (_what, known, expected) => {
    expect(told(step(known))).toBe(expected);
  });

  test("an equal index under a foreign name is adopted, one under a version name is finished", () => {
    const begun = entry("create", "started");
    expect(step(begun, actual({ name: "other" }))).toEqual({ do: "adopt", as: "other" });
    const rules: Rules = { isVersion: (version) => version === "one__123456" };
    expect(step(begun, actual({ name: "one__123456" }), rules)).toEqual({
      do: "finish",
      entry: begun,
      as: "one__123456",
    });
  });

  test("an invalid index is the leftover of a drop or of a build, as the ledger says", () => {
    const left = actual({ valid: false });
    expect(told(step(undefined, left))).toBe("consult");
    expect(told(step(entry("drop", "started"), left))).toBe("finish drop");
    expect(told(step(entry("drop", "done"), left))).toBe("repair");
    expect(told(step(entry("create", "started"), left))).toBe("repair");
  });
});

test("a refusal says why", () => {
  const why = (name: keyof typeof VIEWS, index: DeclaredIndex = OURS) => {
    const constraint = index.constraint === undefined ? {} : PRIMARY;
    const step = nextStep({ target: "t", view: VIEWS[name](constraint), isFresh: true, entry: null }, index, NOTHING);
    return step.do === "refuse" ? step.detail : step.do;
  };
  expect(why("another definition has its name")).toBe('keys: declared "a", found "b"');
  expect(why("there is no collection")).toBe(
    "there is no collection t; check its name, or set createCollections: true in the manifest",
  );
  expect(why("there is no table")).toBe("run the migrations first");
  expect(why("the server refuses the definition")).toBe("no such column");
  expect(why("nothing is there", { ...OURS, checked: true })).toBe(
    "it is missing; the manifest only checks it (checked: true), so its owner has to build it",
  );
  expect(why("it is invalid", { ...OURS, checked: true })).toMatch(/^it is invalid; the manifest only checks it/);
  expect(why("nothing is there", { ...OURS, ...PRIMARY })).toBe(
    "the primary constraint is missing; it belongs to a migration",
  );
});

const arbitraryActual = fc.record({
  name: fc.constantFrom("one", "other", "one__123456"),
  form: fc.constantFrom(FORM, OTHER_FORM),
  valid: fc.boolean(),
  building: fc.boolean(),
});
const arbitraryView = fc
  .record({
    found: fc.uniqueArray(arbitraryActual, { selector: ({ name }) => name }),
    declared: fc.constantFrom({ name: "one", form: FORM }, new Error("no such column")),
    isTaken: fc.boolean(),
    isMissing: fc.boolean(),
    unusable: fc.constantFrom(undefined, undefined, "it is a view"),
    busy: fc.boolean(),
  })
  .map(({ found, declared, isTaken, isMissing, unusable, busy }): Observation => ({
    actual: isMissing || unusable !== undefined ? [] : found,
    declared: new Map([["one", declared]]),
    rules: {
      isVersion: (version) => version === "one__123456",
      taken: new Map(isTaken && !found.some(({ name }) => name === "one") ? [["one", "a view"]] : []),
    },
    busy,
    ...(isMissing ? { isMissing } : {}),
    ...(unusable === undefined ? {} : { unusable }),
  }));
const arbitraryEntry = fc.option(
  fc
    .tuple(
      fc.constantFrom<Intent>("create", "adopt", "drop", "replace", "restore"),
      fc.constantFrom<LedgerState>("started", "done", "failed", "rolled_back"),
    )
    .map(([intent, state]) => entry(intent, state)),
  { nil: null },
);
const arbitraryIndex = fc.constantFrom<DeclaredIndex>(OURS, OURS, { ...OURS, checked: true }, { ...OURS, ...PRIMARY });
const arbitraryPolicy = fc.record({
  mayReplace: fc.boolean(),
  mayCreateTarget: fc.boolean(),
  isCancelled: fc.boolean(),
});

test("property: no step changes an index that is somebody else's, valid, being built or of another definition", () => {
  holds(
    fc.property(
      arbitraryView,
      arbitraryIndex,
      arbitraryPolicy,
      fc.oneof(fc.constant(undefined), arbitraryEntry),
      fc.boolean(),
      (view, index, policy, known, isFresh) => {
        const step = nextStep({ target: "t", view, isFresh, entry: known }, index, policy);
        const named = view.actual.find(({ name }) => name === "one");
        const isChange = ["create", "repair", "finish drop", "replace"].includes(step.do);
        const mayChange = isFresh && !policy.isCancelled && !view.busy && view.unusable === undefined;
        expect(isChange && !mayChange).toBe(false);
        expect(isChange && view.declared.get("one") instanceof Error).toBe(false);
        const isOurs = index.checked === undefined && index.constraint === undefined;
        expect((isChange || step.do === "finish" || step.do === "adopt") && !isOurs).toBe(false);
        expect(isFresh || ["look", "consult", "done", "adopt", "finish"].includes(step.do), step.do).toBe(true);
        switch (step.do) {
          case "create":
            expect(named).toBeUndefined();
            expect(view.rules.taken?.has("one")).toBe(false);
            expect(step.withTarget).toBe(view.isMissing === true);
            expect(step.withTarget && !policy.mayCreateTarget).toBe(false);
            break;
          case "repair":
          case "finish drop":
            expect(named).toMatchObject({ valid: false, building: false, form: FORM });
            expect(step.do === "finish drop").toBe(known?.intent === "drop" && known.state === "started");
            break;
          case "replace":
            expect(policy.mayReplace).toBe(true);
            expect(view.actual).toContain(step.found);
            expect(step.found).toMatchObject({ valid: true, building: false });
            expect(sameForm(step.found.form, FORM)).toBe(false);
            break;
          case "finish":
            expect(known).toMatchObject({ state: "started" });
            expect(["create", "replace"]).toContain(step.entry.intent);
            expect(["one", "one__123456"]).toContain(step.as ?? "one");
        }
      },
    ),
    5_000,
  );
});
