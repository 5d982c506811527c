import { expect, test } from "vitest";
import type { ActualIndex } from "../../../src/indexes/decision/observation.ts";
import { compare } from "../../../src/indexes/decision/state.ts";
import { fingerprint } from "../../../src/indexes/decision/normal-form.ts";

const form = { keys: "a, b", unique: "false" };
const declared = { name: "one", form };
const actual = (change: Partial<ActualIndex> = {}): ActualIndex => ({
  name: "one",
  form: form,
  valid: true,
  building: false,
  ...change,
});

test("an index that does not exist is missing, also that of a constraint", () => {
  expect(compare(declared, [])).toEqual({ state: "missing" });
  expect(compare({ ...declared, constraint: "primary" }, [])).toEqual({ state: "missing" });
});

test("an index of the same name is judged by its definition, then by whether it is building or invalid", () => {
  expect(compare(declared, [actual()])).toEqual({ state: "present" });
  expect(compare(declared, [actual({ valid: false })])).toEqual({ state: "invalid" });
  // Dropping what somebody builds would kill that build, so a build under way is not an invalid leftover.
  expect(compare(declared, [actual({ valid: false, building: true })])).toEqual({ state: "building" });
  expect(compare(declared, [actual({ form: { ...form, keys: "b, a" } })])).toMatchObject({
    state: "different",
    detail: 'keys: declared "a, b", found "b, a"',
  });
  expect(compare(declared, [actual({ form: { ...form, keys: "b" }, valid: false })])).toMatchObject({
    state: "different",
    detail: expect.stringMatching(/^invalid, /) as string,
  });
});

test("an equal index without its constraint is different", () => {
  const key = { ...declared, constraint: "primary" } as const;
  expect(compare(key, [actual()])).toMatchObject({ state: "different" });
  expect(compare(key, [actual({ constraint: "primary" })])).toEqual({ state: "present" });
  expect(compare(key, [actual({ name: "other", constraint: "primary" })])).toEqual({
    state: "present",
    as: "other",
  });
  expect(compare(key, [actual({ name: "other" })])).toEqual({ state: "missing" });
});

test("an equal valid index under another name counts as present", () => {
  const other = { name: "other" };
  expect(compare(declared, [actual(other)])).toEqual({ state: "present", as: "other" });
  expect(compare(declared, [actual({ ...other, valid: false })])).toEqual({ state: "missing" });
  expect(compare(declared, [actual({ ...other, valid: false, building: true })])).toMatchObject({ state: "building" });
  // Of two, the finished one decides.
  expect(compare(declared, [actual({ name: "new", building: true }), actual(other)])).toMatchObject({
    state: "present",
    as: "other",
  });
});

test("a name of another relation, and an index beside which the server refuses the build, are different", () => {
  expect(compare(declared, [], { taken: new Map([["one", "an index of t2"]]) })).toMatchObject({
    state: "different",
    detail: "the name belongs to an index of t2",
  });
  const near = actual({ name: "other", form: { ...form, ttl: "60" } });
  expect(compare(declared, [near], { identity: ["keys", "unique"] })).toMatchObject({
    state: "different",
    detail: 'as other: ttl: declared "", found "60"',
  });
  expect(compare(declared, [near])).toEqual({ state: "missing" });
});

test("a fingerprint depends on the parts, not on their order or on empty parts", () => {
  expect(fingerprint({ a: "1", b: "2" })).toBe(fingerprint({ b: "2", a: "1", c: "" }));
  expect(fingerprint({ a: "1" })).not.toBe(fingerprint({ a: "2" }));
});
