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
    expect(await findDuplicates(failing(code), UNIQUE), String(code)).toBeUndefined();
  }
});

test("another error of the search fails it", async () => {
  await expect(findDuplicates(failing(13), UNIQUE)).rejects.toThrow("no");
});
