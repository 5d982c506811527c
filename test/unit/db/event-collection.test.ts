import { MongoServerError, type Collection } from "mongodb";
import { expect, test } from "vitest";
import { EventCollection } from "../../../src/db/mongo/event-collection.ts";
import { EVENT_FIELDS, type FieldMap } from "../../../src/usage/event.ts";

const FIELDS = Object.fromEntries(EVENT_FIELDS.map((field) => [field, field])) as FieldMap;
const mongod = {
  collectionName: "events",
  db: { command: () => Promise.resolve({ versionArray: [8, 0, 4, 0] }) },
} as unknown as Collection;

/** Reads where the index "old" has been replaced by "new". @returns the hints of the reads */
async function read(code: number): Promise<unknown[]> {
  const events = new EventCollection(mongod, FIELDS, (when) => Promise.resolve(when === "now" ? "new" : "old"));
  const hints: unknown[] = [];
  await events
    .throughIndex((_, { hint }) => {
      hints.push(hint);
      if (hint === "old") throw new MongoServerError({ message: "bad hint", code });
      return Promise.resolve();
    })
    .catch(() => undefined);
  return hints;
}

test.each([
  ["BadValue", 2],
  ["IndexNotFound", 27],
  ["QueryPlanKilled", 175],
  ["NoQueryExecutionPlans", 291],
])("a read that ends with %s is tried once more, through the index that is there now", async (_, code) => {
  expect(await read(code)).toEqual(["old", "new"]);
});

test("a read that ends with another error is not tried again", async () => {
  expect(await read(50)).toEqual(["old"]);
});
