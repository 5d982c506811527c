import type { CreateCollectionOptions, Document } from "mongodb";
import {
  cannotTell,
  equals,
  HOLDS,
  refusal,
  refusedWith,
  show,
  type Assumption,
  type Outcome,
  type Scratch,
} from "../assumption.ts";

/** What listCollections says of a collection created with these options; the refusal of a server that has none such. */
async function listed(
  { db, fresh }: Scratch,
  options: CreateCollectionOptions,
): Promise<Document | { refused: string }> {
  const name = fresh().collectionName;
  const refused = await refusal(db.createCollection(name, options));
  if (refused) return { refused: `${refused.code}: ${refused.message}` };
  const [info] = await db.listCollections({ name }).toArray();
  return info ?? { refused: "it is not listed" };
}

/** Holds if the collection has this type. A server that did not keep the option has made a collection of another kind. */
function named(info: Document, type: string, option: string): Outcome {
  if ("refused" in info) return { observed: String(info["refused"]), holds: undefined };
  const isKept = (info["options"] as Document | undefined)?.[option] !== undefined;
  return { observed: show(info["type"]), holds: info["type"] === type ? true : isKept ? false : undefined };
}

const KEPT = 86_400;

export const COLLECTIONS: readonly Assumption[] = [
  {
    id: "ttl-in-list-indexes",
    says: "listIndexes shows expireAfterSeconds of a TTL index, as a number.",
    why: "A day whose events may be deleted already is not rebuilt to fewer events.",
    source: "manual, TTL Indexes; jstests/core/ttl_index_options.js",
    heldBy: ["test/mongodb/retention.test.ts"],
    check: async ({ fresh }) => {
      const collection = fresh();
      await collection.createIndex({ at: 1 }, { name: "ttl", expireAfterSeconds: KEPT });
      const specs = (await collection.listIndexes().toArray()) as Document[];
      const seconds: unknown = specs.find(({ name }) => name === "ttl")?.["expireAfterSeconds"];
      return { observed: show(seconds), holds: Number(seconds) === KEPT };
    },
    ferret: HOLDS,
  },
  {
    id: "ttl-of-nan",
    says: "A TTL of NaN, which old versions let in, never expires on 4.4, is 0 on early 5.0 and 6.0 (events are deleted at once), and 2147483647 later.",
    why: "Tallyman decides by the version: where NaN is 0 it trusts no day of such a collection, elsewhere every day.",
    source:
      "SERVER-68477; manual, TTL Indexes (expireAfterSeconds set to NaN); jstests/noPassthrough/ttl/ttl_invalid_expire_after_secs.js, ttl_expire_nan_warning_on_startup.js",
    heldBy: ["test/unit/db/retention.test.ts"],
    untried: "today's servers refuse to make such an index",
  },
  {
    id: "ttl-of-a-clustered-collection",
    says: "A clustered collection keeps expireAfterSeconds in its options, which listCollections shows; no index has it.",
    why: "Retention looks there too.",
    source: "manual, Clustered Collections (TTL); jstests/core/clustered/clustered_collection_creation.js; since 5.3",
    heldBy: ["test/unit/db/retention.test.ts"],
    check: async (scratch) => {
      const clusteredIndex = { key: { _id: 1 }, unique: true };
      const info = await listed(scratch, { clusteredIndex, expireAfterSeconds: KEPT });
      if ("refused" in info) return { observed: String(info["refused"]), holds: undefined };
      const { type, options } = info as { type?: string; options?: Document };
      if (options?.["clusteredIndex"] === undefined) return { observed: "not clustered", holds: undefined };
      const holds = type === "collection" && Number(options["expireAfterSeconds"]) === KEPT;
      return { observed: show({ type, expireAfterSeconds: options["expireAfterSeconds"] as unknown }), holds };
    },
    ferret: cannotTell("it has no clustered collections"),
  },
  {
    id: "hint-on-a-clustered-collection",
    says: "A clustered collection obeys a hint of { _id: 1 }, though it has no such index, and lists its key as `_id_`.",
    why: "Arrivals of a clustered collection are read as those of any other.",
    source: "jstests/core/clustered/clustered_collection_hint.js; since 5.3",
    heldBy: ["test/unit/indexes/required-mongo.test.ts"],
    check: async (scratch) => {
      const { db } = scratch;
      const name = scratch.fresh().collectionName;
      const refused = await refusal(db.createCollection(name, { clusteredIndex: { key: { _id: 1 }, unique: true } }));
      const [info] = refused ? [] : await db.listCollections({ name }).toArray();
      const options = (info as { options?: Document } | undefined)?.options;
      if (options?.["clusteredIndex"] === undefined) {
        return { observed: refused ? refused.message : "not clustered", holds: undefined };
      }
      await db.collection<{ _id: number }>(name).insertMany([{ _id: 2 }, { _id: 1 }]);
      const found = await db
        .collection(name)
        .find({}, { hint: { _id: 1 }, sort: { _id: 1 } })
        .toArray();
      return equals(found.length, 2);
    },
    ferret: cannotTell("it has no clustered collections"),
  },
  {
    id: "time-series-are-named",
    says: "listCollections shows a time-series collection with the type timeseries.",
    why: "The events cannot be one: it has no index of `_id`, and its own rules for the others. It is refused by name.",
    source: "jstests/core/timeseries/ddl/timeseries_list_collections.js; since 5.0",
    heldBy: ["test/unit/indexes/required-mongo.test.ts"],
    check: async (scratch) => {
      const info = await listed(scratch, { timeseries: { timeField: "at" }, expireAfterSeconds: KEPT });
      return named(info, "timeseries", "timeseries");
    },
    ferret: cannotTell("it has no time-series collections: it makes another one"),
  },
  {
    id: "views-are-named",
    says: "listCollections shows a view with the type view.",
    why: "The events cannot be one: no hint by name reaches the collection's index through it. It is refused by name.",
    source: "manual, listCollections; manual, Views",
    heldBy: ["test/unit/indexes/required-mongo.test.ts"],
    check: async (scratch) => {
      const info = await listed(scratch, { viewOn: "elsewhere", pipeline: [] });
      return named(info, "view", "viewOn");
    },
    ferret: cannotTell("it has no views: it makes a collection"),
  },
  {
    id: "no-collection-no-indexes",
    says: "listIndexes of a collection that does not exist fails with code 26 (NamespaceNotFound).",
    why: "A wrong EVENTS_COLLECTION is told from a missing index.",
    source: "mongo/base/error_codes.yml; manual, listIndexes",
    heldBy: ["test/unit/indexes/mongo.test.ts", "test/integration/cli/errors.test.ts"],
    check: ({ fresh }) => refusedWith([26], fresh().listIndexes().toArray()),
    ferret: HOLDS,
  },
  {
    id: "collection-twice",
    says: "To create a collection that exists with other options fails with code 48 (NamespaceExists).",
    why: "Two processes may ensure the indexes of a new collection at once.",
    source:
      "mongo/base/error_codes.yml; manual, create. With the same options it succeeds since 7.0 or fails with 48, which are both fine",
    heldBy: ["test/unit/indexes/mongo.test.ts", "test/integration/indexes/engine-conformance.test.ts"],
    check: async ({ db, fresh }) => {
      const name = fresh().collectionName;
      await db.createCollection(name);
      const refused = await refusal(db.createCollection(name));
      return { observed: refused ? `code ${refused.code}` : "accepted", holds: !refused || refused.code === 48 };
    },
    ferret: HOLDS,
  },
];
