import type { Collection, Db, Document } from "mongodb";
import { differs, equals, HOLDS, refusal, refusedWith, show, type Assumption, type Scratch } from "../assumption.ts";

/** As the index keeper builds an index: by the command itself. */
const create = (db: Db, { collectionName }: Collection, spec: Document) =>
  db.command({ createIndexes: collectionName, indexes: [spec], writeConcern: { w: "majority" } });

async function specOf(collection: Collection, wanted: string): Promise<Document | undefined> {
  return ((await collection.listIndexes().toArray()) as Document[]).find(({ name }) => name === wanted);
}

/** A collection with one index, `by_a` on a. */
async function withOne({ db, fresh }: Scratch, options: Document = {}): Promise<Collection> {
  const collection = fresh();
  await create(db, collection, { key: { a: 1 }, name: "by_a", ...options });
  return collection;
}

export const INDEX_DEFINITIONS: readonly Assumption[] = [
  {
    id: "same-index-again",
    says: "createIndexes of an index that is there, with its name, succeeds and changes nothing.",
    why: "Any number of processes may ensure the same indexes.",
    source: "manual, createIndexes; jstests/core/index/index_signature.js",
    heldBy: ["test/integration/indexes/engine-conformance.test.ts"],
    check: async (scratch) => {
      const collection = await withOne(scratch);
      await create(scratch.db, collection, { key: { a: 1 }, name: "by_a" });
      return equals((await collection.listIndexes().toArray()).length, 2);
    },
    ferret: HOLDS,
  },
  {
    id: "other-name-same-index",
    says: "An index that is there under another name is refused with code 85 (IndexOptionsConflict); so is one that differs in its TTL only.",
    why: "The keeper looks again, finds it under that name, and is content or changes it in place.",
    source: "jstests/core/index/index_signature.js",
    heldBy: ["test/unit/indexes/mongo.test.ts", "test/unit/indexes/mongo-versions.test.ts"],
    check: async (scratch) => {
      const collection = await withOne(scratch);
      const renamed = await refusal(create(scratch.db, collection, { key: { a: 1 }, name: "other" }));
      const ttl = await refusal(
        create(scratch.db, collection, { key: { a: 1 }, name: "other", expireAfterSeconds: 60 }),
      );
      return equals([renamed?.code ?? 0, ttl?.code ?? 0], [85, 85]);
    },
    ferret: HOLDS,
  },
  {
    id: "same-name-other-index",
    says: "An index with the name of another one is refused with code 86 (IndexKeySpecsConflict).",
    why: "A replacement needs a name of its own, since no index can be renamed.",
    source: "jstests/core/index/index_signature.js",
    heldBy: ["test/integration/indexes/replace-mongo.test.ts"],
    check: async (scratch) => {
      const collection = await withOne(scratch);
      return refusedWith([86], create(scratch.db, collection, { key: { b: 1 }, name: "by_a" }));
    },
    ferret: HOLDS,
  },
  {
    id: "filters-are-normalised",
    says: "A partial filter with its conditions in another order, or with $and, is the same filter.",
    why: "The normal form of the keeper takes them for equal, too.",
    source: "jstests/core/index/index_signature.js; since 5.0",
    heldBy: ["test/unit/indexes/mongo-shape.test.ts"],
    since: [5, 0],
    check: async (scratch) => {
      const collection = await withOne(scratch, { partialFilterExpression: { b: "x", c: { $gt: 1 } } });
      const partialFilterExpression = { $and: [{ c: { $gt: 1 } }, { b: "x" }] };
      const refused = await refusal(
        create(scratch.db, collection, { key: { a: 1 }, name: "other", partialFilterExpression }),
      );
      return { observed: refused ? `code ${refused.code}` : "a second index", holds: refused?.code === 85 };
    },
    ferret: HOLDS,
  },
  {
    id: "unknown-option",
    says: "createIndexes refuses an option that it does not know, with code 197 (InvalidIndexSpecificationOption).",
    why: "A misspelt partial filter must not make a full index; the keeper sends the command itself, because the driver's helper drops such options.",
    source: "mongo/db/index_key_validate.cpp",
    heldBy: ["test/unit/indexes/mongo.test.ts"],
    check: async ({ db, fresh }) =>
      refusedWith([197], create(db, fresh(), { key: { a: 1 }, name: "by_a", partialFilterExpresion: { a: 1 } })),
    ferret: HOLDS,
  },
  {
    id: "drop-of-no-index",
    says: "dropIndexes of an index that is not there fails with code 27 (IndexNotFound).",
    why: "A drop that another process did first is done.",
    source: "mongo/base/error_codes.yml; manual, dropIndexes",
    heldBy: ["test/integration/indexes/engine-conformance.test.ts"],
    check: async (scratch) => {
      const { collectionName } = await withOne(scratch);
      return refusedWith([27], scratch.db.command({ dropIndexes: collectionName, index: "none" }));
    },
    ferret: HOLDS,
  },
  {
    id: "ttl-in-place",
    says: "collMod changes the TTL of an index in place.",
    why: "A new retention needs no build.",
    source: "manual, collMod (index)",
    heldBy: ["test/integration/indexes/replace-mongo.test.ts"],
    check: async (scratch) => {
      const collection = await withOne(scratch, { expireAfterSeconds: 60 });
      const index = { name: "by_a", expireAfterSeconds: 3_600 };
      await scratch.db.command({ collMod: collection.collectionName, index });
      return equals(Number((await specOf(collection, "by_a"))?.["expireAfterSeconds"]), 3_600);
    },
    ferret: HOLDS,
  },
  {
    id: "hidden-in-place",
    says: "collMod hides an index and shows it again; listIndexes says hidden: true.",
    why: "An index may be tried without before it is dropped.",
    source: "jstests/core/index/hidden_index.js; since 4.4",
    heldBy: ["test/integration/indexes/replace-mongo.test.ts"],
    check: async (scratch) => {
      const collection = await withOne(scratch);
      const hide = (hidden: boolean) =>
        scratch.db.command({ collMod: collection.collectionName, index: { name: "by_a", hidden } });
      await hide(true);
      const hidden: unknown = (await specOf(collection, "by_a"))?.["hidden"];
      await hide(false);
      const shown: unknown = (await specOf(collection, "by_a"))?.["hidden"];
      return { observed: `${show(hidden)}, then ${show(shown)}`, holds: hidden === true && shown !== true };
    },
    ferret: HOLDS,
  },
  {
    id: "unique-over-duplicates",
    says: "A unique index over duplicates fails with code 11000, and no index is left; a missing field counts as null.",
    why: "The keeper looks for duplicates before a build, by the same rule, and clears nothing up after one.",
    source: "manual, Unique Indexes (missing fields); mongo/db/index_builds/README.md",
    heldBy: ["test/integration/indexes/engine-conformance.test.ts"],
    check: async ({ db, fresh }) => {
      const collection = fresh();
      await collection.insertMany([{ a: null }, {}]);
      const refused = await refusal(create(db, collection, { key: { a: 1 }, name: "by_a", unique: true }));
      const left = await specOf(collection, "by_a");
      const observed = `${refused ? `code ${refused.code}` : "accepted"}, ${left ? "an index is left" : "no index"}`;
      return { observed, holds: refused?.code === 11_000 && left === undefined };
    },
    ferret: differs("its code is 1"),
  },
  {
    id: "text-index-is-its-weights",
    says: "listIndexes shows a text index with the keys _fts and _ftsx and its fields under weights.",
    why: "The normal form of a text index is made of them.",
    source: "manual, Text Indexes; mongo/db/fts/fts_spec.cpp",
    heldBy: ["test/unit/indexes/mongo-shape.test.ts"],
    check: async ({ db, fresh }) => {
      const collection = fresh();
      await create(db, collection, { key: { tenant: 1, note: "text" }, name: "notes", weights: { note: 3 } });
      const spec = await specOf(collection, "notes");
      const keys = Object.keys((spec?.["key"] ?? {}) as object);
      const weight = Number((spec?.["weights"] as Document | undefined)?.["note"]);
      return {
        observed: `${keys.join(", ")}; note ${weight}`,
        holds: keys.join() === "tenant,_fts,_ftsx" && weight === 3,
      };
    },
    ferret: HOLDS,
  },
];
