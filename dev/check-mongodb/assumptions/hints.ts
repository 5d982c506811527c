import { ObjectId, type Collection, type Document } from "mongodb";
import { multikeyPaths } from "../../../src/mongo/multikey.ts";
import {
  cannotTell,
  differs,
  equals,
  HOLDS,
  partsOf,
  refusal,
  refusedWith,
  show,
  stagesOf,
  type Assumption,
  type Scratch,
} from "../assumption.ts";

const KEYS = { tenant_id: 1, created_at: -1 } as const;
const NAME = "idx_tenant_date";
const DAY = { $gte: new Date("2026-03-02"), $lt: new Date("2026-03-03") };
const ONE_DAY = { tenant_id: "t1", created_at: DAY };
/** No mongod explains so: FerretDB gives a plan of PostgreSQL. */
const NOT_ITS_PLAN = cannotTell("its plans are those of PostgreSQL");

/** Events of three tenants on five days, with the index that reads go through. */
async function events({ fresh }: Scratch): Promise<Collection> {
  const collection = fresh();
  await collection.createIndex(KEYS, { name: NAME });
  const documents = Array.from({ length: 60 }, (_, n) => ({
    tenant_id: `t${n % 3}`,
    created_at: new Date(Date.UTC(2026, 2, 1 + (n % 5))),
    n,
  }));
  await collection.insertMany(documents);
  return collection;
}

/** The bounds of the time in the index scan of a day's read; undefined where the server shows none. */
async function timeBounds(collection: Collection): Promise<{ isMultiKey: unknown; bounds: string[] } | undefined> {
  const explained = await collection.find(ONE_DAY, { hint: NAME }).explain("queryPlanner");
  const scan = partsOf(explained).find(({ stage, indexBounds }) => stage === "IXSCAN" && indexBounds !== undefined);
  if (!scan) return undefined;
  return { isMultiKey: scan["isMultiKey"], bounds: (scan["indexBounds"] as Document)["created_at"] as string[] };
}

const isOneDay = (bounds: readonly string[]) =>
  ["2026-03-02", "1772409600000"].some((from) => bounds.join().includes(from)) &&
  ["2026-03-03", "1772496000000"].some((to) => bounds.join().includes(to));

export const HINTS: readonly Assumption[] = [
  {
    id: "hint-by-name",
    says: "find and aggregate obey a hint that is the name of an index.",
    why: "Every read of a tenant's events goes through the tenant/date index.",
    source: "jstests/core/query/hint1.js; manual, aggregate and find (hint)",
    heldBy: ["test/mongodb/reader.test.ts"],
    check: async (scratch) => {
      const collection = await events(scratch);
      const found = await collection.find(ONE_DAY, { hint: NAME }).toArray();
      const counted = await collection.aggregate([{ $match: ONE_DAY }, { $count: "n" }], { hint: NAME }).toArray();
      return equals([found.length, counted], [4, [{ n: 4 }]]);
    },
    ferret: HOLDS,
  },
  {
    id: "hint-of-no-index",
    says: "A hint that names no index is refused with code 2 (BadValue).",
    why: "Tallyman then learns the name of the index again, or says that the index is missing.",
    source: "mongo/db/query/query_planner.cpp (BadValue); jstests/core/query/hint1.js",
    heldBy: ["test/unit/db/event-collection.test.ts", "test/integration/data/event-collection.test.ts"],
    check: async (scratch) => {
      const collection = await events(scratch);
      return refusedWith([2], collection.find(ONE_DAY, { hint: "no_such_index" }).toArray());
    },
    ferret: HOLDS,
  },
  {
    id: "same-keys-other-filter",
    says: "An index may have the keys of another one if its filter, `unique` or `sparse` differs.",
    why: "`idx_tenant_date_recent` may stand beside `idx_tenant_date`, and a replacement builds the new index before it drops the old one.",
    source: "jstests/core/index/index_signature.js; since 5.0 (4.4 knows keys and collation only: code 85)",
    heldBy: ["test/integration/indexes/replace-mongo.test.ts", "test/unit/indexes/mongo-versions.test.ts"],
    since: [5, 0],
    check: async (scratch) => {
      const collection = await events(scratch);
      const partialFilterExpression = { created_at: { $gte: new Date("2026-03-03") } };
      const refused = await refusal(
        collection.createIndex(KEYS, { name: "idx_tenant_date_recent", partialFilterExpression }),
      );
      return refused ? { observed: show(refused), holds: false } : { observed: "both stand", holds: true };
    },
    ferret: HOLDS,
  },
  {
    id: "hint-of-two-indexes",
    says: "A hint by keys that two indexes have is refused with code 27; a hint by name is not.",
    why: "Reads give the name of the index, never its keys.",
    source: "mongo/db/query/query_planner.cpp (IndexNotFound, must hint by index name)",
    heldBy: ["test/unit/db/event-collection.test.ts", "test/integration/data/event-collection.test.ts"],
    since: [5, 0],
    check: async (scratch) => {
      const collection = await events(scratch);
      const partialFilterExpression = { created_at: { $gte: new Date("2026-03-03") } };
      await collection.createIndex(KEYS, { name: "idx_tenant_date_recent", partialFilterExpression });
      const named = await collection.find(ONE_DAY, { hint: NAME }).toArray();
      const byKeys = await refusal(collection.find(ONE_DAY, { hint: KEYS }).toArray());
      const observed = `by name ${named.length} events, by keys ${byKeys ? `code ${byKeys.code}` : "accepted"}`;
      return { observed, holds: named.length === 4 && byKeys?.code === 27 };
    },
    ferret: differs("it refuses the hint by keys with code 2"),
  },
  {
    id: "hint-of-a-hidden-index",
    says: "A hint for a hidden index is refused with code 2.",
    why: "Reads need an index that is not hidden; a hidden one does not serve them.",
    source: "jstests/core/index/hidden_index.js; since 4.4",
    heldBy: ["test/integration/indexes/required.test.ts"],
    check: async (scratch) => {
      const collection = await events(scratch);
      await collection.createIndex({ n: 1 }, { name: "unseen", hidden: true });
      return refusedWith([2], collection.find({ n: 1 }, { hint: "unseen" }).toArray());
    },
    ferret: differs("it makes no hidden index; only collMod hides one"),
  },
  {
    id: "hint-of-a-partial-index",
    says: "A hint for a partial index whose filter the query does not imply is refused, or scans the whole index.",
    why: "`indexes verify` takes a refusal or an unbounded scan for a proof that the index cannot serve the contract.",
    source: "jstests/core/index/index_partial_read_ops.js; mongo/db/query/query_planner.cpp",
    heldBy: ["test/integration/indexes/verify-mongo.test.ts", "test/unit/indexes/verify/mongo-implied.test.ts"],
    check: async (scratch) => {
      const collection = await events(scratch);
      await collection.createIndex({ n: 1 }, { name: "some", partialFilterExpression: { n: { $gt: 30 } } });
      const refused = await refusal(collection.find({ n: { $gt: 10 } }, { hint: "some" }).toArray());
      const observed = refused ? `refused with code ${refused.code}` : "accepted";
      return { observed, holds: refused !== undefined };
    },
    ferret: differs("it obeys, and answers without the documents that the index lacks"),
  },
  {
    id: "hint-of-id",
    says: "A hint of { _id: 1 } with a range and a sort of `_id` reads the range in the order of the ids.",
    why: "Arrivals are read by pages of ids.",
    source:
      "jstests/core/query/hint1.js; jstests/core/clustered/clustered_collection_hint.js (clustered collections too)",
    heldBy: ["test/integration/data/event-collection.test.ts", "test/mongodb/arrivals.test.ts"],
    check: async ({ fresh }) => {
      const collection = fresh();
      const ids = [3, 1, 2].map((n) => new ObjectId(String(n).repeat(24)));
      await collection.insertMany(ids.map((_id) => ({ _id })));
      const range = { $gt: ids[1] as ObjectId };
      const found = await collection.find({ _id: range }, { hint: { _id: 1 }, sort: { _id: 1 } }).toArray();
      return equals(
        found.map(({ _id }) => _id),
        [ids[2], ids[0]],
      );
    },
    ferret: HOLDS,
  },
  {
    id: "tenants-by-distinct-scan",
    says: "A $group by the first key of the index skips from one value to the next (DISTINCT_SCAN), unsharded and while the index is not multikey.",
    why: "Listing the tenants then costs one step a tenant; elsewhere it reads every entry of the index.",
    source:
      "jstests/aggregation/group_conversion_to_distinct_scan.js (assumes_unsharded_collection, not on a multikey field)",
    heldBy: [],
    check: async (scratch) => {
      const collection = await events(scratch);
      const stages = stagesOf(
        await collection.aggregate([{ $group: { _id: "$tenant_id" } }], { hint: NAME }).explain(),
      );
      if (stages.length === 0) return { observed: "no plan in MongoDB's form", holds: undefined };
      const { msg } = await scratch.db.command({ hello: 1 });
      return {
        observed: stages.join(", "),
        holds: stages.includes("DISTINCT_SCAN") || (msg === "isdbgrid" ? undefined : false),
      };
    },
    ferret: NOT_ITS_PLAN,
  },
  {
    id: "bounds-of-a-day",
    says: "While no event has an array in a key of the index, a day's read scans the day's entries only.",
    why: "A rebuild costs what the day has, not what the tenant has.",
    source: "manual, Multikey Index Bounds; mongo/db/query/planner_ixselect.cpp",
    heldBy: ["test/unit/indexes/verify/mongo-plan.test.ts", "test/mongodb/contracts.test.ts"],
    check: async (scratch) => {
      const scan = await timeBounds(await events(scratch));
      if (!scan) return { observed: "no plan in MongoDB's form", holds: undefined };
      return { observed: `${show(scan.isMultiKey)} ${scan.bounds.join()}`, holds: isOneDay(scan.bounds) };
    },
    ferret: NOT_ITS_PLAN,
  },
  {
    id: "multikey-is-told",
    says: "One array in a key makes the index multikey, and explain tells it, also after that event is gone.",
    why: "verify and a read that takes too long say so, with the remedy.",
    source:
      "manual, Multikey Indexes, and explain results (isMultiKey, multiKeyPaths); jstests/core/index/index_multikey.js",
    heldBy: ["test/unit/mongo/multikey.test.ts", "test/integration/data/event-collection.test.ts"],
    check: async (scratch) => {
      const collection = await events(scratch);
      const explained = () => collection.find(ONE_DAY, { hint: NAME }).explain("queryPlanner");
      const before = multikeyPaths(await explained());
      const { insertedId } = await collection.insertOne({ tenant_id: "t1", created_at: [new Date(0), new Date(1)] });
      await collection.deleteOne({ _id: insertedId });
      const after = multikeyPaths(await explained());
      const holds = before.length === 0 && after.includes("created_at");
      return { observed: `before: ${show(before)}, after: ${show(after)}`, holds };
    },
    ferret: HOLDS,
  },
  {
    id: "multikey-bounds",
    says: "A multikey index gives a day's read one bound of its time only.",
    why: "Results stay right, but each day reads the tenant's whole past or future: verify warns, with the remedy.",
    source: "manual, Multikey Indexes and Multikey Index Bounds; jstests/core/index/index_multikey.js",
    heldBy: ["test/unit/indexes/verify/mongo-multikey.test.ts", "test/integration/indexes/verify-mongo.test.ts"],
    check: async (scratch) => {
      const collection = await events(scratch);
      const { insertedId } = await collection.insertOne({ tenant_id: "t1", created_at: [new Date(0), new Date(1)] });
      await collection.deleteOne({ _id: insertedId });
      const scan = await timeBounds(collection);
      if (!scan) return { observed: "no plan in MongoDB's form", holds: undefined };
      const holds = scan.isMultiKey === true && !isOneDay(scan.bounds);
      return { observed: `${show(scan.isMultiKey)} ${scan.bounds.join()}`, holds };
    },
    ferret: NOT_ITS_PLAN,
  },
  {
    id: "count-fetches",
    says: "A count of a tenant-day fetches each event, since the conditions on types ask for the document.",
    why: "A count costs as much as the events of the day, not as the entries of the index.",
    source: "mongo/db/query/planner_access.cpp ($type is no exact bound); manual, Covered Query",
    heldBy: [],
    check: async (scratch) => {
      const collection = await events(scratch);
      const noArray = { $not: { $type: "array" as const } };
      const match = { tenant_id: { $eq: "t1", ...noArray }, created_at: { ...DAY, ...noArray } };
      const pipeline = [{ $match: match }, { $group: { _id: null, n: { $sum: 1 } } }];
      const stages = stagesOf(await collection.aggregate(pipeline, { hint: NAME }).explain());
      if (stages.length === 0) return { observed: "no plan in MongoDB's form", holds: undefined };
      return { observed: stages.join(", "), holds: stages.includes("FETCH") };
    },
    ferret: NOT_ITS_PLAN,
  },
];
