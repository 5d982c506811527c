/** The conditions that a query proves of its documents. */
import { Long, ObjectId } from "mongodb";
import { expect, test } from "vitest";
import { unprovenTerms } from "../../../../src/indexes/engines/mongo/verify/implied.ts";

type Filter = Record<string, unknown>;

const day = (n: number) => new Date(Date.UTC(2026, 0, n));
const isImplied = (partial: Filter, query: Filter, isCollated = false) =>
  unprovenTerms(partial, query, isCollated).length === 0;

test.each<[string, Filter, Filter]>([
  ["equality to a string", { id: { $gt: "" } }, { id: "a" }],
  ["a string above, by its bytes", { id: { $gt: "\uFFFD" } }, { id: "\u{1F600}" }],
  ["any of some values", { id: { $gt: "" } }, { id: { $in: ["a", "b"] } }],
  ["the same value", { status: "open" }, { n: 1, status: { $eq: "open" } }],
  ["one of the values", { status: { $in: ["open", "late"] } }, { status: "late" }],
  ["a day within", { at: { $gte: day(1) } }, { at: day(1) }],
  ["a range within", { at: { $gte: day(1), $lt: day(9) } }, { at: { $gte: day(2), $lt: day(9) } }],
  ["a bound that is out", { n: { $gt: 3 } }, { n: { $gt: 3 } }],
  ["a long integer", { n: { $gte: 0 } }, { n: Long.fromNumber(7) }],
  ["a fraction", { n: { $gt: 0 } }, { n: 0.5 }],
  ["an id", { by: { $exists: true } }, { by: new ObjectId() }],
  ["the very term", { email: { $type: "string" } }, { $and: [{ email: { $type: "string" } }] }],
  ["every branch", { id: { $gt: "" } }, { $or: [{ id: "a" }, { id: "b", n: 1 }] }],
  ["one branch of the filter", { $or: [{ a: 1 }, { b: 1 }] }, { b: 1 }],
])("implied: %s", (_, partial, query) => {
  expect(isImplied(partial, query)).toBe(true);
});

test.each<[string, Filter, Filter]>([
  ["nothing about the field", { at: { $gte: day(1) } }, { status: "open" }],
  ["a value outside", { at: { $gte: day(2) } }, { at: day(1) }],
  ["a range that reaches out", { at: { $gte: day(2) } }, { at: { $gte: day(1) } }],
  ["a range to the other side", { at: { $gte: day(2) } }, { at: { $lt: day(9) } }],
  ["a bound that is in", { n: { $gt: 3 } }, { n: { $gte: 3 } }],
  ["a string below, by its bytes", { id: { $gt: "a" } }, { id: "B" }],
  ["another type", { id: { $gt: "" } }, { id: 7 }],
  ["nothing there", { id: { $exists: true } }, { id: null }],
  ["one value too many", { id: { $gt: "" } }, { id: { $in: ["a", null] } }],
  ["a negation", { status: "open" }, { status: { $ne: "done" } }],
  ["an expression", { id: { $gt: "" } }, { id: /^a/ }],
  ["one branch only", { id: { $gt: "" } }, { $or: [{ id: "a" }, { n: 1 }] }],
  ["a type by a value", { id: { $type: "string" } }, { id: "a" }],
])("not proven: %s", (_, partial, query) => {
  expect(isImplied(partial, query)).toBe(false);
});

test("only the missing terms are named, each in full", () => {
  const partial = { status: "open", at: { $gte: day(1), $lt: day(3) } };
  expect(unprovenTerms(partial, { status: "open", at: { $gte: day(2) } }, false)).toEqual([{ at: partial.at }]);
});

test("with a collation the order of strings is unknown", () => {
  expect(isImplied({ id: { $gt: "" } }, { id: "a" }, true)).toBe(true);
  expect(isImplied({ id: { $gt: "a" } }, { id: "b" }, true)).toBe(false);
});
