import { expect, test } from "vitest";
import { type ActualIndex, decide, fingerprint } from "../../../src/indexes/decision/decide.ts";

const form = { keys: "a, b", unique: "false" };
const declared = { name: "one", form };
const actual = (change: Partial<ActualIndex> = {}): ActualIndex => ({
  name: "one",
  form: form,
  valid: true,
  building: false,
  ...change,
});

test("nothing there: create; a constraint's index is never created", () => {
  expect(decide(declared, [])).toEqual({ state: "create" });
  expect(decide({ ...declared, constraint: "primary" }, [])).toEqual({ state: "absent" });
});

test("the same name: by definition, then by what state it is in", () => {
  expect(decide(declared, [actual()])).toEqual({ state: "present" });
  expect(decide(declared, [actual({ valid: false })])).toEqual({ state: "invalid" });
  // Dropping what somebody builds would kill that build, so a build under way is not an invalid leftover.
  expect(decide(declared, [actual({ valid: false, building: true })])).toEqual({ state: "building" });
  expect(decide(declared, [actual({ form: { ...form, keys: "b, a" } })])).toMatchObject({
    state: "different",
    detail: 'keys: declared "a, b", found "b, a"',
  });
  expect(decide(declared, [actual({ form: { ...form, keys: "b" }, valid: false })])).toMatchObject({
    state: "different",
    detail: expect.stringMatching(/^invalid, /) as string,
  });
});

test("a constraint is more than its index", () => {
  const key = { ...declared, constraint: "primary" } as const;
  expect(decide(key, [actual()])).toMatchObject({ state: "different" });
  expect(decide(key, [actual({ constraint: "primary" })])).toEqual({ state: "present" });
  expect(decide(key, [actual({ name: "other", constraint: "primary" })])).toEqual({
    state: "present",
    otherName: "other",
  });
  expect(decide(key, [actual({ name: "other" })])).toEqual({ state: "absent" });
});

test("an equal index under another name serves, unless it is invalid", () => {
  const other = { name: "other" };
  expect(decide(declared, [actual(other)])).toEqual({ state: "present", otherName: "other" });
  expect(decide(declared, [actual({ ...other, valid: false })])).toEqual({ state: "create" });
  expect(decide(declared, [actual({ ...other, valid: false, building: true })])).toMatchObject({ state: "building" });
  // Of two, the finished one decides.
  expect(decide(declared, [actual({ name: "new", building: true }), actual(other)])).toMatchObject({
    state: "present",
    otherName: "other",
  });
});

test("a name that belongs to another relation, and a near twin the server would refuse", () => {
  expect(decide(declared, [], { taken: new Map([["one", "an index of t2"]]) })).toMatchObject({
    state: "different",
    detail: "the name belongs to an index of t2",
  });
  const near = actual({ name: "other", form: { ...form, ttl: "60" } });
  expect(decide(declared, [near], { identity: ["keys", "unique"] })).toMatchObject({
    state: "different",
    detail: 'as other: ttl: declared "", found "60"',
  });
  expect(decide(declared, [near])).toEqual({ state: "create" });
});

test("a fingerprint follows the parts, not their order, and not parts that say nothing", () => {
  expect(fingerprint({ a: "1", b: "2" })).toBe(fingerprint({ b: "2", a: "1", c: "" }));
  expect(fingerprint({ a: "1" })).not.toBe(fingerprint({ a: "2" }));
});
