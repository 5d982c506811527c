/** What mongod builds is found as built, in whatever form it lists the index. */
import fc from "fast-check";
import type { CollationOptions } from "mongodb";
import { expect, test } from "vitest";
import { differencesOf, fingerprint } from "../../../src/indexes/decision/normal-form.ts";
import { mongoForm, mongoSpec } from "../../../src/indexes/engines/mongo/normal-form.ts";
import { lintManifest } from "../../../src/indexes/engines/lint.ts";
import type { MongoIndex } from "../../../src/indexes/manifest/manifest.ts";
import { mongoIndex } from "../../support/index-definitions.ts";
import { holds } from "../../support/property.ts";
import { mongodLists, type Storing } from "./mongod-lists.ts";

const storing: fc.Arbitrary<Storing> = fc.record({
  number: fc.constantFrom("int", "long", "double"),
  flag: fc.constantFrom("bool", "number"),
  projection: fc.constantFrom("as written", "normalised"),
});
/** The collation of the collection, which an index without one inherits: the server lists it then. */
const inherited = fc.constantFrom<CollationOptions | undefined>(undefined, { locale: "da", strength: 1 });

const indexOf = (change: Partial<MongoIndex>): MongoIndex => ({ name: "x", why: "test", keys: [["a", 1]], ...change });
const formOf = (change: Partial<MongoIndex>) => mongoForm(mongoSpec(indexOf(change)));

test("every definition has the normal form of what mongod lists of it", () => {
  const drawn = new Set<string>();
  holds(
    fc.property(mongoIndex, storing, inherited, (index, how, collection) => {
      lintManifest({ version: 1, project: "test", mongo: { events: [index] } });
      const kinds = index.keys.map(([, kind]) => kind);
      const collation = kinds.includes("text") || kinds.includes("2d") ? undefined : collection;
      const spec = mongoSpec(index, collation);
      const listed = mongodLists({ ...(collation ? { collation } : {}), ...spec }, how);
      const [declared, found] = [mongoForm(spec, collation), mongoForm(listed)];
      expect(differencesOf(declared, found)).toEqual([]);
      expect(fingerprint(found)).toBe(fingerprint(declared));
      drawn.add(JSON.stringify(index));
    }),
    500,
  );
  process.stderr.write(`found as built: ${drawn.size} definitions of mongod\n`);
  expect(drawn.size).toBeGreaterThan(1);
});

test("a wildcard projection is its paths, with _id left out unless it is named", () => {
  const keys = [["$**", 1]] as const;
  const one = formOf({ keys, wildcardProjection: { a: 1, "b.c": 1 } });
  for (const written of [
    { b: { c: true }, a: true, _id: false },
    { a: 1, b: { c: 1 } },
    { "b.c": 1.5, _id: 0, a: 1 },
  ]) {
    expect(mongoForm({ key: { "$**": 1 }, wildcardProjection: written })).toEqual(one);
  }
  for (const other of [{ a: 1 }, { a: 0, "b.c": 0 }, { a: 1, "b.c": 1, _id: 1 }] as const) {
    expect(formOf({ keys, wildcardProjection: other })).not.toEqual(one);
  }
  expect(formOf({ keys })).not.toEqual(one);
});

test("a collation is completed by the defaults of its locale, and by no other value", () => {
  const canadian = { ...{ locale: "fr_CA", backwards: true, version: "57.1" }, caseLevel: false };
  expect(mongoForm({ key: { a: 1 }, collation: canadian })).toEqual(formOf({ collation: { locale: "fr_CA" } }));
  const other = formOf({ collation: { locale: "fr_CA", backwards: false } });
  expect(mongoForm({ key: { a: 1 }, collation: canadian })).not.toEqual(other);
  const french = { ...canadian, locale: "fr" };
  expect(mongoForm({ key: { a: 1 }, collation: french })).not.toEqual(formOf({ collation: { locale: "fr" } }));
});

test("a field that only weights name is a text field, and a weight is cut to an integer as the server does", () => {
  const text = formOf({ keys: [["t", "text"]], weights: { u: 3 } });
  const listed = { key: { _fts: "text", _ftsx: 1 }, weights: { t: 1, u: 3.9 }, default_language: "english" };
  expect(mongoForm(listed)).toEqual(text);
  expect(mongoForm({ ...listed, weights: { t: 1 } })).not.toEqual(text);
});

test("a 2d index is the same with its defaults written or left out, and another with other ones", () => {
  const keys = [["g", "2d"]] as const;
  expect(formOf({ keys, bits: 26, min: -180, max: 180 })).toEqual(formOf({ keys }));
  expect(formOf({ keys, bits: 20 })).not.toEqual(formOf({ keys }));
  expect(formOf({ keys, max: 90 })).not.toEqual(formOf({ keys }));
  expect(mongoSpec(indexOf({ keys, bits: 20, min: -1, max: 1 }))).toMatchObject({ bits: 20, min: -1, max: 1 });
});

test("the direction of a key is its sign", () => {
  expect(mongoForm({ key: { a: 5 } })).toEqual(formOf({}));
  expect(mongoForm({ key: { a: true } })).toEqual(formOf({}));
  expect(mongoForm({ key: { a: -0.5 } })).toEqual(formOf({ keys: [["a", -1]] }));
});

test("an option that is false is not sent, and means the same as one that is left out", () => {
  const off = { unique: false, sparse: false, hidden: false };
  expect(Object.keys(mongoSpec(indexOf(off)))).toEqual(["key", "name"]);
  expect(formOf(off)).toEqual(formOf({}));
});
