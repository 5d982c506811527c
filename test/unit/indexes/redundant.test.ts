import fc from "fast-check";
import { expect, test } from "vitest";
import { findRedundant } from "../../../src/indexes/decision/redundant.ts";
import { holds } from "../../support/property.ts";
import type { ActualIndex, Duty } from "../../../src/indexes/decision/observation.ts";

interface Model {
  readonly keys: readonly string[];
  readonly include?: readonly string[];
  readonly holds?: string;
  readonly guards?: Duty;
  readonly valid?: boolean;
  readonly hidden?: boolean;
  readonly collation?: string;
  readonly collatesAsOne?: boolean;
}

/** Keys as "a" and "-a"; everything else as it is. */
function index(name: string, model: Model): ActualIndex {
  const column = (key: string) => key.replace("-", "");
  const turned = (key: string) => (key.startsWith("-") ? column(key) : `-${key}`);
  return {
    name,
    form: { hidden: model.hidden ? "true" : "", collation: model.collation ?? "" },
    valid: model.valid ?? true,
    building: false,
    ...(model.guards === undefined ? {} : { guards: model.guards }),
    order: {
      keys: model.keys,
      opposite: model.keys.map(turned),
      columns: model.keys.map(column),
      include: model.include ?? [],
      holds: model.holds ?? "",
      collatesAsOne: model.collatesAsOne ?? false,
    },
  };
}

const found = (models: Readonly<Record<string, Model>>, declared: readonly string[] = []) =>
  findRedundant(
    Object.entries(models).map(([name, model]) => index(name, model)),
    new Set(declared),
  ).map(({ name, by, kind }) => `${name} ${kind} ${by}`);

test("an index on the first keys of another, forwards or all backwards, is redundant, and no other is", () => {
  expect(found({ a: { keys: ["x"] }, b: { keys: ["x", "y"] } })).toEqual(["a redundant b"]);
  expect(found({ a: { keys: ["-x", "y"] }, b: { keys: ["x", "-y", "z"] } })).toEqual(["a redundant b"]);
  expect(found({ a: { keys: ["-x", "y"] }, b: { keys: ["x", "y"] } })).toEqual([]);
  expect(found({ a: { keys: ["y"] }, b: { keys: ["x", "y"] } })).toEqual([]);
  expect(found({ a: { keys: ["x"], include: ["v"] }, b: { keys: ["x", "y"] } })).toEqual([]);
  expect(found({ a: { keys: ["x"], include: ["y"] }, b: { keys: ["x", "y"] } })).toEqual(["a redundant b"]);
});

test("a partial index replaces only one with the same predicate; a full index replaces both kinds", () => {
  expect(found({ a: { keys: ["x"] }, b: { keys: ["x", "y"], holds: "y > 1" } })).toEqual([]);
  expect(found({ a: { keys: ["x"], holds: "y > 1" }, b: { keys: ["x", "y"] } })).toEqual(["a redundant b"]);
  expect(found({ a: { keys: ["x"], holds: "y > 1" }, b: { keys: ["x"], holds: "y > 2" } })).toEqual([]);
});

test("of two equal indexes the undeclared one is redundant, then the later name; never the unique one", () => {
  expect(found({ a: { keys: ["x"] }, b: { keys: ["x"] } })).toEqual(["b duplicate a"]);
  expect(found({ a: { keys: ["x"] }, b: { keys: ["x"] } }, ["b"])).toEqual(["a duplicate b"]);
  expect(found({ a: { keys: ["x"], guards: "unique" }, b: { keys: ["x"] } }, ["b"])).toEqual(["b duplicate a"]);
  expect(found({ a: { keys: ["x"], guards: "unique" }, b: { keys: ["x", "y"] } })).toEqual([]);
});

test("an invalid or hidden index replaces none; in MongoDB an index replaces only one of the same collation", () => {
  expect(found({ a: { keys: ["x"] }, b: { keys: ["x", "y"], valid: false } })).toEqual([]);
  expect(found({ a: { keys: ["x"] }, b: { keys: ["x", "y"], guards: "unique", hidden: true } })).toEqual([]);
  const mongo = { collatesAsOne: true };
  expect(found({ a: { keys: ["x"], ...mongo }, b: { keys: ["x", "y"], collation: "en", ...mongo } })).toEqual([]);
});

test("the index named as doing the work is not redundant itself", () => {
  expect(
    found({ a: { keys: ["x"] }, b: { keys: ["-x"] }, c: { keys: ["x", "y"] }, d: { keys: ["x", "y", "z"] } }),
  ).toEqual(["a redundant d", "b redundant d", "c redundant d"]);
});

const arbitrary = fc.array(
  fc.record({
    keys: fc.uniqueArray(fc.constantFrom("x", "y", "z", "-x", "-y"), {
      minLength: 1,
      maxLength: 3,
      selector: (key) => key.replace("-", ""),
    }),
    include: fc.subarray(["v", "w"]),
    holds: fc.constantFrom("", "p", "q"),
    guards: fc.constantFrom(undefined, undefined, undefined, "unique", "TTL"),
    valid: fc.constantFrom(true, true, true, false),
  }),
  { minLength: 1, maxLength: 7 },
);

/** A reader as an index would serve it: an order over some rows, some columns of the entry, from one end or the other. */
function serves({ keys, include = [], holds = "", valid = true }: Model, wanted: Model): boolean {
  if (!valid) return false;
  const isOrdered = [1, -1].some((direction) =>
    wanted.keys.every((key, at) => key === (direction === 1 ? keys[at] : keys[at]?.replace(/^(-?)/, flip))),
  );
  const holdsAll = holds === "" || holds === wanted.holds;
  const has = new Set([...keys.map((key) => key.replace("-", "")), ...include]);
  return isOrdered && holdsAll && (wanted.include ?? []).every((column) => has.has(column));
}

const flip = (sign: string) => (sign === "-" ? "" : "-");

test("all redundant indexes can be dropped one after the other and every reader is still served; an index with a duty is never redundant", () => {
  holds(
    fc.property(arbitrary, fc.array(fc.nat(6)), (models, numbers) => {
      const all = models.map(({ guards, ...model }, at) => {
        const named: Model = guards === undefined ? model : { ...model, guards };
        return { name: `i${at}`, model: named };
      });
      const declared = new Set(numbers.map((number) => `i${number}`));
      const flagged = findRedundant(
        all.map(({ name, model }) => index(name, model)),
        declared,
      );
      const gone = new Set<string>();
      for (const { name, by } of flagged) {
        const model = all.find((one) => one.name === name)?.model;
        const better = all.find((one) => one.name === by)?.model;
        if (!model || !better) throw new Error("a name that is not there");
        expect(model.guards).toBeUndefined();
        expect(flagged.map((one) => one.name)).not.toContain(by);
        expect(serves(better, model)).toBe(true);
        gone.add(name);
        const left = all.filter((one) => !gone.has(one.name));
        for (const reader of all.filter((one) => one.model.valid)) {
          expect(left.some((one) => serves(one.model, reader.model))).toBe(true);
        }
      }
      // None is overlooked: of what is left, none serves the readers of another that guards nothing.
      const left = all.filter((one) => !gone.has(one.name) && one.model.guards === undefined);
      for (const one of left) {
        const others = all.filter((other) => other !== one && !gone.has(other.name));
        expect(others.some((other) => serves(other.model, one.model))).toBe(false);
      }
    }),
    2_000,
  );
});
