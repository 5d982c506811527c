/** What mongod lists, as a manifest would declare it. */
import fc from "fast-check";
import type { CollationOptions } from "mongodb";
import { expect, test } from "vitest";
import { differencesOf } from "../../../src/indexes/decision/normal-form.ts";
import { foundIndex } from "../../../src/indexes/engines/mongo/discovery.ts";
import { mongoForm, mongoSpec } from "../../../src/indexes/engines/mongo/normal-form.ts";
import { lintManifest } from "../../../src/indexes/engines/lint.ts";
import { mongoIndex } from "../../support/index-definitions.ts";
import { holds } from "../../support/property.ts";
import { mongodLists } from "./mongod-lists.ts";

const MADE_WITH: CollationOptions = { locale: "da", strength: 1 };

test("what is discovered of an index declares an equal one, also where the collection has a collation", () => {
  holds(
    fc.property(mongoIndex, fc.boolean(), fc.boolean(), (index, isOld, hasCollation) => {
      const kinds = index.keys.map(([, kind]) => kind);
      const inherited = hasCollation && !kinds.includes("text") && !kinds.includes("2d") ? MADE_WITH : undefined;
      const spec = mongoSpec(index, inherited);
      const listed = mongodLists(
        { ...(inherited ? { collation: inherited } : {}), ...spec },
        isOld
          ? { number: "double", flag: "number", projection: "normalised" }
          : { number: "int", flag: "bool", projection: "as written" },
      );
      const { declaration, notes } = foundIndex(listed, inherited);
      if (!declaration || !("keys" in declaration)) throw new Error(notes.join());
      const declared = { why: "test", ...declaration };
      lintManifest({ version: 1, project: "test", mongo: { events: [declared] } });
      expect(differencesOf(mongoForm(mongoSpec(declared, inherited), inherited), mongoForm(listed))).toEqual([]);
    }),
    300,
  );
});

test("a simple index of a collection with a collation says that it is simple", () => {
  const plain = { v: 2, key: { a: 1 }, name: "x" };
  expect(foundIndex(plain, MADE_WITH).declaration).toMatchObject({ collation: { locale: "simple" } });
  expect(foundIndex(plain, undefined).declaration).toEqual({ name: "x", keys: [["a", 1]] });
});

test("a collation is written without the defaults of its locale", () => {
  const { declaration } = foundIndex(
    mongodLists(
      { key: new Map([["a", 1]]), name: "x", collation: { locale: "th", strength: 2 } },
      { number: "int", flag: "bool", projection: "as written" },
    ),
    undefined,
  );
  expect(declaration).toEqual({ name: "x", keys: [["a", 1]], collation: { locale: "th", strength: 2 } });
});

test("an option that a manifest does not have is never left out silently", () => {
  const plain = { v: 2, key: { a: 1 }, name: "x" };
  for (const option of [{ prepareUnique: true }, { bucketSize: 5 }, { finestIndexedLevel: 20 }]) {
    const { declaration, notes } = foundIndex({ ...plain, ...option }, undefined);
    expect(declaration).toBeUndefined();
    expect(notes).toEqual([`a manifest cannot declare ${Object.keys(option)[0]}: ${Object.values(option)[0]}`]);
  }
  expect(foundIndex({ ...plain, prepareUnique: false, background: true }, undefined).declaration).toBeDefined();
  const { notes } = foundIndex({ ...plain, storageEngine: { wiredTiger: { configString: "x" } } }, undefined);
  expect(notes).toEqual(['storageEngine { wiredTiger: { configString: "x" } } is not declared']);
});
