/** The search for duplicates before a unique build, where a server does not let it end. */
import { MongoServerError, type Collection, type Document } from "mongodb";
import { expect, test } from "vitest";
import { findDuplicates } from "../../../src/indexes/engines/mongo/duplicates.ts";
import type { MongoIndex } from "../../../src/indexes/manifest/manifest.ts";

const UNIQUE: MongoIndex = { name: "one", why: "test", keys: [["email", 1]], unique: true };

/** A collection whose answer to the search is this, and what it was asked with. */
function answering(answer: readonly Document[] | Error) {
  const asked: Document[] = [];
  const toArray = () => (answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer));
  const aggregate = (_pipeline: unknown, options: Document) => {
    asked.push(options);
    return { toArray };
  };
  return { collection: { aggregate } as unknown as Collection, asked };
}

const failing = (code: number) => answering(new MongoServerError({ message: "no", code })).collection;

test("a search that the server ends for its time or its memory tells nothing, so the build finds the duplicates", async () => {
  for (const code of [50, 202, 262, 407, 10334, 146, 292, 13548]) {
    expect(await findDuplicates(failing(code), UNIQUE, undefined), String(code)).toBeUndefined();
  }
});

test("another error of the search fails it", async () => {
  await expect(findDuplicates(failing(13), UNIQUE, undefined)).rejects.toThrow("no");
});

test("the search compares in the collation that the index will have", async () => {
  const english = { locale: "en", strength: 2 };
  const simple = { locale: "simple" };
  const said = async (ofIndex: MongoIndex["collation"], ofCollection: MongoIndex["collation"]) => {
    const { collection, asked } = answering([]);
    await findDuplicates(collection, ofIndex ? { ...UNIQUE, collation: ofIndex } : UNIQUE, ofCollection);
    return asked[0]?.["collation"] as unknown;
  };
  expect(await said(simple, english)).toEqual(simple);
  expect(await said(english, undefined)).toEqual(english);
  // The server itself lets the search inherit what the index inherits.
  expect(await said(undefined, english)).toBeUndefined();
  // FerretDB refuses to be told what is its default.
  expect(await said(simple, undefined)).toBeUndefined();
});
