import type { Db, Document } from "mongodb";
import { expect, test } from "vitest";
import { servingOnMongo } from "../../../src/indexes/engines/mongo/required.ts";
import type { MongoIndex } from "../../../src/indexes/index.ts";

const REQUIRED: MongoIndex = {
  name: "idx_tenant_date",
  why: "rebuilds",
  required: true,
  keys: [
    ["tenant_id", 1],
    ["created_at", -1],
  ],
};
const spec = (name: string, more: Document = {}) => ({ v: 2, key: { tenant_id: 1, created_at: -1 }, name, ...more });
const BY_ID = { v: 2, key: { _id: 1 }, name: "_id_" };

interface Answers {
  /** an entry of `listCollections` with nameOnly; undefined = there is none */
  readonly info?: Document | undefined;
  readonly indexes?: readonly Document[];
  /** `$indexStats`; an error where the role may not read it */
  readonly stats?: readonly Document[] | Error;
}

/** A database as mongod answers for it. */
function answering({ info = { name: "events", type: "collection" }, indexes = [], stats = [] }: Answers): Db {
  const cursor = (documents: readonly Document[] | Error) => ({
    toArray: () => (documents instanceof Error ? Promise.reject(documents) : Promise.resolve(documents)),
  });
  const collection = { listIndexes: () => cursor(indexes), aggregate: () => cursor(stats) };
  const listed = info["name"] === undefined ? [] : [info];
  return {
    databaseName: "metering",
    listCollections: () => cursor(listed),
    collection: () => collection,
  } as unknown as Db;
}

const serving = async (answers: Answers) =>
  (await servingOnMongo(answering(answers), "events", [REQUIRED])).get("idx_tenant_date");

test.each([
  ["view", "events is a view, "],
  ["timeseries", "events is a time-series collection, "],
])("a %s is refused as the source, by name and with the fix", async (type, says) => {
  const asked = serving({ info: { name: "events", type } });
  await expect(asked).rejects.toThrow(says);
  await expect(asked).rejects.toThrow(/Set EVENTS_COLLECTION to the collection that the events are inserted into/);
});

test("a collection that is not there is said with the database and the settings", async () => {
  await expect(serving({ info: {} })).rejects.toThrow(
    /^The database metering has no collection events\. Check the path of MONGODB_URI and EVENTS_COLLECTION/,
  );
});

test("an index that is still being built does not serve, one beside it that is ready does", async () => {
  const half = { name: "idx_tenant_date", key: {}, building: true };
  const indexes = [BY_ID, spec("idx_tenant_date")];
  expect(await serving({ indexes, stats: [half] })).toBeUndefined();
  expect(await serving({ indexes: [...indexes, spec("older")], stats: [half] })).toBe("older");
  expect(await serving({ indexes, stats: [{ ...half, building: false }] })).toBe("idx_tenant_date");
});

test("without the right to $indexStats a listed index counts as built", async () => {
  const stats = new Error("not authorized on metering to execute command { aggregate: 1 }");
  expect(await serving({ indexes: [BY_ID, spec("idx_tenant_date")], stats })).toBe("idx_tenant_date");
});

test.each<[string, Document]>([
  ["over a part of the events", { partialFilterExpression: { created_at: { $gte: new Date(0) } } }],
  ["sparse", { sparse: true }],
  ["hidden", { hidden: true }],
  ["in another collation", { collation: { locale: "en", strength: 2, version: "57.1" } }],
])("an index that is %s serves no read, and is passed over beside the whole one", async (_, more) => {
  expect(await serving({ indexes: [BY_ID, spec("idx_tenant_date", more)] })).toBeUndefined();
  expect(await serving({ indexes: [BY_ID, spec("a_part", more), spec("z_whole")] })).toBe("z_whole");
});

test.each<[string, Document]>([
  ["unique", { unique: true }],
  ["with a TTL", { expireAfterSeconds: 60 }],
])("an index that is %s serves all the same", async (_, more) => {
  expect(await serving({ indexes: [BY_ID, spec("any", more)] })).toBe("any");
});

test("a clustered collection serves like any other", async () => {
  const clustered = { v: 2, key: { _id: 1 }, name: "_id_", unique: true, clustered: true };
  expect(await serving({ indexes: [clustered, spec("idx_tenant_date")] })).toBe("idx_tenant_date");
});
