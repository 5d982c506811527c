import { cannotTell, equals, HOLDS, refusal, refusedWith, show, type Assumption } from "../assumption.ts";

const MEGABYTE = "x".repeat(1_000_000);

export const READS: readonly Assumption[] = [
  {
    id: "majority-reads",
    says: "A read with read concern majority sees what was written with write concern majority before it. A standalone server accepts it too.",
    why: "A row must not count an event that a failover takes back.",
    source:
      "manual, Read Concern majority; jstests/replsets/read_committed_lookup.js. A 4.4 server with enableMajorityReadConcern=false refuses every one of them (ReadConcernMajorityNotEnabled, 148)",
    heldBy: ["test/integration/data/event-collection.test.ts"],
    check: async ({ fresh }) => {
      const collection = fresh();
      await collection.insertOne({ v: 1 }, { writeConcern: { w: "majority" } });
      const options = { readConcern: { level: "majority" }, readPreference: "primary" } as const;
      return equals((await collection.find({}, options).toArray()).length, 1);
    },
    ferret: HOLDS,
  },
  {
    id: "majority-write-date",
    says: "On a replica set hello gives lastWrite.majorityWriteDate and localTime, dates of one clock.",
    why: "Majority reads stand still while a majority is away; the watermark of arrivals must not pass the time that they show.",
    source: "manual, hello (lastWrite, localTime); mongo/db/repl/replication_info.cpp. mongos gives none",
    heldBy: ["test/unit/db/majority.test.ts", "test/integration/refresh/arrivals.test.ts"],
    check: async ({ db }) => {
      const { setName, lastWrite, localTime } = await db.command({ hello: 1 });
      if (setName === undefined) return { observed: "no replica set, no lastWrite", holds: undefined };
      const date = (lastWrite as { majorityWriteDate?: unknown } | undefined)?.majorityWriteDate;
      return { observed: show([date, localTime]), holds: date instanceof Date && localTime instanceof Date };
    },
    ferret: cannotTell("it is no replica set"),
  },
  {
    id: "majority-stands-still",
    says: "While a majority of the data-bearing members is away, a majority read on the primary succeeds and shows the last committed state.",
    why: "The same: rows stay right and become old.",
    source: "manual, Read Concern majority and Three Member Primary-Secondary-Arbiter Architecture",
    heldBy: ["test/integration/refresh/arrivals.test.ts"],
    untried: "it takes a replica set with a member down",
  },
  {
    id: "primary-reads",
    says: "A read goes to the primary where the client, the database or the operation says so, whatever the connection string says.",
    why: "A secondary may lack events that have been counted already.",
    source: "manual, Read Preference; the driver's options of MongoClient override those of the connection string",
    heldBy: ["test/unit/db/connect-limits.test.ts", "test/unit/db/primary.test.ts"],
    untried: "it takes a replica set with a secondary that lags",
  },
  {
    id: "time-limit",
    says: "A read past its maxTimeMS fails with code 50 (MaxTimeMSExpired).",
    why: "A slice of a day that takes too long is halved.",
    source: "mongo/base/error_codes.yml; manual, maxTimeMS. mongos may give 202, 262 or 407 instead",
    heldBy: ["test/mongodb/slices.test.ts"],
    check: async ({ fresh }) => {
      const collection = fresh();
      await collection.insertMany(Array.from({ length: 3_000 }, (_, n) => ({ n })));
      const endless = [
        { $lookup: { from: collection.collectionName, pipeline: [], as: "each" } },
        { $unwind: "$each" },
        { $group: { _id: null, n: { $sum: 1 } } },
      ];
      return refusedWith([50], collection.aggregate(endless, { maxTimeMS: 1 }).toArray());
    },
    ferret: HOLDS,
  },
  {
    id: "other-time-codes",
    says: "Out of time is also 202 (NetworkInterfaceExceededTimeLimit), 262 (ExceededTimeLimit) and 407 of mongos.",
    why: "They are treated as 50 is.",
    source: "mongo/base/error_codes.yml",
    heldBy: ["test/unit/mongo/errors.test.ts"],
    untried: "it takes a sharded cluster",
  },
  {
    id: "answer-too-large",
    says: "An answer with one document past 16 MB fails, with code 10334 (BSONObjectTooLarge) or one of those of the next row.",
    why: "A slice of a day whose groups do not fit is halved.",
    source: "mongo/base/error_codes.yml; manual, BSON Document Size",
    heldBy: ["test/mongodb/reader.test.ts"],
    check: async ({ fresh }) => {
      const collection = fresh();
      await collection.insertMany(Array.from({ length: 20 }, (_, n) => ({ n, text: MEGABYTE })));
      const packed = [{ $group: { _id: null, groups: { $push: "$$ROOT" } } }];
      return refusedWith([10_334, 146, 292, 13_548], collection.aggregate(packed, { allowDiskUse: true }).toArray());
    },
    ferret: HOLDS,
  },
  {
    id: "other-size-codes",
    says: "Too large is also 146 ($push past 100 MB), 13548 (an object past the limit while it is built), 292 (a sort or group past 100 MB where allowDiskUse is ignored).",
    why: "They are treated as 10334 is.",
    source:
      "mongo/base/error_codes.yml; manual, Aggregation Pipeline Limits; Atlas, Unsupported Commands (allowDiskUse is ignored on free and Flex clusters)",
    heldBy: ["test/unit/mongo/errors.test.ts"],
    untried: "it takes 100 MB of groups, or a server of Atlas; FerretDB's own code is 4031700",
  },
  {
    id: "comments",
    says: "find, aggregate, count, listIndexes and createIndexes take a comment.",
    why: "An operator finds Tallyman's work among the server's operations by it.",
    source: "jstests/noPassthrough/comment_field_passthrough.js; since 4.4 for all commands",
    heldBy: ["test/integration/data/event-collection.test.ts", "test/unit/indexes/mongo.test.ts"],
    check: async ({ db, fresh }) => {
      const collection = fresh();
      const comment = "tallyman check";
      const name = collection.collectionName;
      const work = async () => {
        await db.command({ createIndexes: name, indexes: [{ key: { n: 1 }, name: "n" }], comment });
        await collection.find({}, { comment }).toArray();
        await collection.aggregate([{ $match: {} }], { comment }).toArray();
        await collection.estimatedDocumentCount({ comment });
        await db.command({ listIndexes: name, cursor: {}, comment });
      };
      const refused = await refusal(work());
      return refused ? { observed: show(refused), holds: false } : { observed: "accepted", holds: true };
    },
    ferret: HOLDS,
  },
  {
    id: "lost-client-is-noticed",
    says: "An operation ends when its client closes the connection, and a cursor ends with killCursors.",
    why: "An aggregation of a worker that was stopped must not go on and hold a permit.",
    source: "manual, Terminate Running Operations (a client that disconnects, since 4.2); killCursors",
    heldBy: ["test/unit/db/within-time.test.ts"],
    untried: "only the server's list of operations shows it, which needs the right inprog",
  },
  {
    id: "stable-api",
    says: "The Stable API with apiStrict refuses commands that Tallyman uses: $indexStats, $collStats with queryExecStats, collStats, profile, compact, $currentOp.",
    why: "Leave apiStrict out of the connection; without it, API version 1 may be set.",
    source: "manual, Stable API (commands and stages of API version 1)",
    heldBy: [],
    untried: "not settled which of them each version refuses",
  },
];
