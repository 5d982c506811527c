import { Double, Int32, Long } from "mongodb";
import { expect, test } from "vitest";
import type { MongoIndex } from "../../../src/indexes/manifest/manifest.ts";
import { canonicalFilter, mongoForm, mongoSpec } from "../../../src/indexes/engines/mongo/normal-form.ts";

const index = (change: Partial<MongoIndex> = {}): MongoIndex => ({
  name: "one",
  why: "test",
  keys: [
    ["tenant_id", 1],
    ["created_at", -1],
  ],
  ...change,
});
const shapeOf = (change: Partial<MongoIndex> = {}) => mongoForm(mongoSpec(index(change)));

test("the command carries the keys in order and only the options that were declared", () => {
  const spec = mongoSpec(index({ expireAfterSeconds: 0 }));
  expect([...(spec["key"] as Map<string, unknown>)]).toEqual([
    ["tenant_id", 1],
    ["created_at", -1],
  ]);
  expect(Object.keys(spec)).toEqual(["key", "name", "expireAfterSeconds"]);
});

test("the server's spec is equal to the declared one, whatever its number types and added fields", () => {
  const answer = {
    v: 2,
    name: "one",
    key: { tenant_id: new Int32(1), created_at: new Double(-1) },
    sparse: 0,
    unique: false,
    storageEngine: { enableOrderedIndex: true },
    background: true,
  };
  expect(mongoForm(answer)).toEqual(shapeOf());
  expect(mongoForm({ ...answer, sparse: 1 })).toEqual(shapeOf({ sparse: true }));
  expect(mongoForm({ ...answer, expireAfterSeconds: Long.fromNumber(0) })).toEqual(shapeOf({ expireAfterSeconds: 0 }));
});

test("order and direction of keys make another index", () => {
  expect(mongoForm({ key: { created_at: -1, tenant_id: 1 } })).not.toEqual(shapeOf());
  expect(mongoForm({ key: { tenant_id: 1, created_at: 1 } })).not.toEqual(shapeOf());
});

test("each option makes another index", () => {
  const plain = JSON.stringify(shapeOf());
  const changes: Partial<MongoIndex>[] = [
    { unique: true },
    { sparse: true },
    { hidden: true },
    { expireAfterSeconds: 0 },
    { partial: { a: 1 } },
    { collation: { locale: "en" } },
  ];
  for (const change of changes) expect(JSON.stringify(shapeOf(change)), JSON.stringify(change)).not.toBe(plain);
});

test("a text index is its fields and weights", () => {
  const text = index({
    keys: [
      ["company", 1],
      ["title", "text"],
      ["body", "text"],
    ],
    weights: { title: 5 },
  });
  const answer = {
    key: { company: 1, _fts: "text", _ftsx: 1 },
    weights: { body: 1, title: 5 },
    default_language: "english",
    language_override: "language",
    textIndexVersion: 3,
  };
  expect(mongoForm(answer)).toEqual(mongoForm(mongoSpec(text)));
  expect(mongoForm({ ...answer, weights: { body: 1, title: 1 } })).not.toEqual(mongoForm(mongoSpec(text)));
});

test("collations are equal with defaults written or left out; the collection's is inherited, simple means none", () => {
  const written = { locale: "en", strength: 3, caseLevel: false, version: "57.1", normalization: false };
  expect(mongoForm({ key: { a: 1 }, collation: written })).toEqual(
    mongoForm({ key: { a: 1 }, collation: { locale: "en" } }),
  );
  expect(mongoForm({ key: { a: 1 } }, { locale: "en" })).toEqual(mongoForm({ key: { a: 1 }, collation: written }));
  expect(mongoForm({ key: { a: 1 }, collation: { locale: "simple" } }, { locale: "en" })).toEqual(
    mongoForm({ key: { a: 1 } }),
  );
});

test("partial filters are compared by meaning, not by spelling", () => {
  const same = [
    { a: 1, b: { $gt: 2, $lt: 5 } },
    { b: { $lt: 5, $gt: new Long(2) }, a: { $eq: 1 } },
    { $and: [{ b: { $gt: 2 } }, { a: 1, b: { $lt: 5 } }] },
  ];
  expect(new Set(same.map(canonicalFilter)).size).toBe(1);
  expect(canonicalFilter({ a: { $gt: 1 } })).not.toBe(canonicalFilter({ a: { $gte: 1 } }));
  expect(canonicalFilter({ a: "1" })).not.toBe(canonicalFilter({ a: 1 }));
  expect(canonicalFilter({ $or: [{ a: 1 }, { b: 1 }] })).toBe(canonicalFilter({ $or: [{ b: 1 }, { a: 1 }] }));
  expect(canonicalFilter({ a: new Date(0) })).not.toBe(canonicalFilter({ a: new Date(1) }));
  expect(canonicalFilter({})).toBe("");
});
