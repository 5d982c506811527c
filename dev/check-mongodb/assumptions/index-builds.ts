import type { Document } from "mongodb";
import { differs, HOLDS, refusal, show, type Assumption } from "../assumption.ts";

const BUILDS = "mongo/db/index_builds/README.md";
const PAUSED = "it takes a build that stands still, which only a failpoint of a test server gives";

export const INDEX_BUILDS: readonly Assumption[] = [
  {
    id: "building-is-listed",
    says: "listIndexes shows an index that is still being built like a finished one; $indexStats says building: true.",
    why: "An index that is being built serves no read: the required indexes, check and ensure ask both.",
    source:
      "jstests/noPassthrough/index_builds/list_indexes_ready_and_in_progress.js; mongo/db/pipeline/process_interface/common_mongod_process_interface.cpp",
    heldBy: ["test/unit/indexes/required-mongo.test.ts", "test/unit/indexes/mongo.test.ts"],
    untried: PAUSED,
  },
  {
    id: "same-build-joins",
    says: "createIndexes of an index that is being built waits for that build and ends with it.",
    why: "Several workers may ensure the same index at once, and a killed one leaves its build to the next.",
    source: BUILDS,
    heldBy: ["test/unit/indexes/mongo.test.ts"],
    untried: PAUSED,
  },
  {
    id: "drop-aborts-a-build",
    says: "dropIndexes ends a running build of that index.",
    why: "A build past its limit is cancelled that way.",
    source: "jstests/noPassthrough/index_builds/drop_indexes_aborts_in_progress_index_builds_simple_name.js; since 4.4",
    heldBy: ["test/unit/indexes/mongo.test.ts"],
    untried: PAUSED,
  },
  {
    id: "time-limit-aborts-a-build",
    says: "maxTimeMS on createIndexes aborts the build when it has passed.",
    why: "The keeper sends none; it watches the build and has its own limit.",
    source: "jstests/noPassthrough/index_builds/index_max_time_ms.js",
    heldBy: ["test/unit/indexes/mongo.test.ts"],
    untried: PAUSED,
  },
  {
    id: "commit-quorum",
    says: "A build ends only when every data-bearing voting member is ready (commitQuorum votingMembers), so it waits for a member that is down.",
    why: "The keeper's limit for a build bounds that wait; setIndexCommitQuorum frees a build that waits.",
    source: `${BUILDS}; jstests/noPassthrough/index_builds/commit_quorum_voting_nodes.js; manual, setIndexCommitQuorum`,
    heldBy: ["test/unit/indexes/mongo-build.test.ts"],
    untried: "it takes a replica set with a member down",
  },
  {
    id: "passing-codes",
    says: "A stepdown, a shutdown or a drop in progress ends createIndexes with 91, 189, 276, 285, 10107, 11600, 11602, 13435 or 13436, and the build may go on.",
    why: "The keeper waits and looks again. Then it joins the build, or starts another one.",
    source: "mongo/base/error_codes.yml; mongo/db/index_builds/README.md",
    heldBy: ["test/unit/indexes/mongo.test.ts"],
    untried: "it takes a replica set with an election",
  },
  {
    id: "index-stats",
    says: "$indexStats gives each index with its name and accesses: ops, a number, and since, a date.",
    why: "An index that nothing reads is reported as unused.",
    source:
      "jstests/aggregation/sources/indexStats/verify_index_stats_output.js; manual, $indexStats (right: clusterMonitor)",
    heldBy: ["test/unit/indexes/stats/mongo-figures.test.ts", "test/integration/indexes/stats-mongo.test.ts"],
    check: async ({ fresh }) => {
      const collection = fresh();
      await collection.createIndex({ a: 1 }, { name: "by_a" });
      const stats = await collection.aggregate([{ $indexStats: {} }]).toArray();
      const { accesses, building } = stats.find(({ name }) => name === "by_a") ?? {};
      const { ops, since } = (accesses ?? {}) as { ops?: unknown; since?: unknown };
      const holds = stats.length === 2 && Number.isFinite(Number(ops)) && since instanceof Date && building !== true;
      return { observed: show(stats.map((stat): unknown => [stat["name"], stat["accesses"]])), holds };
    },
    ferret: HOLDS,
  },
  {
    id: "sizes-of-indexes",
    says: "$collStats with storageStats gives count, storageSize, totalIndexSize and indexSizes by name.",
    why: "stats reports the sizes of a collection and of its indexes.",
    source: "manual, $collStats",
    heldBy: ["test/unit/indexes/stats/mongo-figures.test.ts", "test/integration/indexes/stats-mongo.test.ts"],
    check: async ({ fresh }) => {
      const collection = fresh();
      await collection.insertOne({ a: 1 });
      const [stats] = await collection.aggregate([{ $collStats: { storageStats: { scale: 1 } } }]).toArray();
      const { count, storageSize, totalIndexSize, indexSizes } = (stats?.["storageStats"] ?? {}) as Readonly<
        Record<string, unknown>
      >;
      const holds =
        Number(count) === 1 &&
        Number(storageSize) > 0 &&
        Number(totalIndexSize) > 0 &&
        Number((indexSizes as Document)["_id_"]) > 0;
      return { observed: show({ count, storageSize, totalIndexSize, indexSizes }), holds };
    },
    ferret: HOLDS,
  },
  {
    id: "collection-scans-are-counted",
    says: "$collStats with queryExecStats counts the scans of the whole collection.",
    why: "stats reports the share of collection scans.",
    source: "jstests/aggregation/sources/collStats/query_exec_stats.js; since 4.4",
    heldBy: ["test/unit/indexes/stats/mongo-figures.test.ts"],
    check: async ({ db, fresh }) => {
      const collection = fresh();
      await collection.insertOne({ a: 1 });
      const { msg } = await db.command({ hello: 1 });
      let stats: Document | undefined;
      const refused = await refusal(
        (async () => {
          [stats] = await collection.aggregate([{ $collStats: { queryExecStats: {} } }]).toArray();
        })(),
      );
      if (refused)
        return { observed: `${refused.code}: ${refused.message}`, holds: msg === "isdbgrid" ? undefined : false };
      const total: unknown = (
        (stats?.["queryExecStats"] as Document | undefined)?.["collectionScans"] as Document | undefined
      )?.["total"];
      return { observed: show(total), holds: total !== undefined };
    },
    ferret: differs("it refuses queryExecStats"),
  },
  {
    id: "profiler",
    says: "The command profile: -1 says whether the profiler is on, and changes nothing.",
    why: "stats lists slow queries where it is on.",
    source: "manual, profile (right: dbAdmin)",
    heldBy: ["test/unit/indexes/stats/mongo-figures.test.ts"],
    check: async ({ db }) => {
      let answer: Document | undefined;
      const refused = await refusal(
        (async () => {
          answer = await db.command({ profile: -1 });
        })(),
      );
      return {
        observed: refused ? `${refused.code}: ${refused.message}` : show(answer),
        holds: Number(answer?.["was"]) >= 0,
      };
    },
    ferret: differs("it has no profiler"),
  },
  {
    id: "compact",
    says: "compact frees the space of deleted events on the connected node only, and says how much.",
    why: "indexes maintain compacts a collection with its indexes where much of it is free.",
    source: "manual, compact (bytesFreed)",
    heldBy: ["test/unit/indexes/stats/maintenance.test.ts"],
    untried: "it may hold up the server of another",
  },
];
