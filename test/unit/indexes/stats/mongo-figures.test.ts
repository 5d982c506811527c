/** Answers as mongod and mongos document them: none of these servers is at hand where the integration tests run. */
import { Double, Long } from "mongodb";
import { describe, expect, test } from "vitest";
import { type MongoAnswers, parseFigures } from "../../../../src/indexes/engines/mongo/figures.ts";

const SINCE = new Date("2026-11-01T00:00:00Z");
const details = (asked: number, read: number) => ({
  cache: { "pages requested from the cache": asked, "pages read into cache": Long.fromNumber(read) },
});
const use = (name: string, ops: number, since = SINCE, more = {}) => {
  return { name, accesses: { ops: Long.fromNumber(ops), since }, ...more };
};

const MONGOD: MongoAnswers = {
  target: "events",
  server: { product: "this server (8.0.4)", countsEach: true, node: "a:27017", otherNodes: 2, isRouter: false },
  specs: [
    { v: 2, key: { _id: 1 }, name: "_id_" },
    { v: 2, key: { tenant: 1, at: -1 }, name: "by_tenant" },
    { v: 2, key: { at: 1 }, name: "ttl", expireAfterSeconds: 60 },
    { v: 2, key: { email: 1 }, name: "email", unique: true, hidden: true },
  ],
  stats: [
    {
      ns: "x.events",
      storageStats: {
        count: 1_000,
        storageSize: new Double(4_096),
        totalIndexSize: 2_048,
        indexSizes: { _id_: 512, by_tenant: 1_024, ttl: 256, email: 256 },
        indexBuilds: ["ttl"],
        indexDetails: { by_tenant: details(1_000, 40), _id_: details(10, 0) },
      },
      queryExecStats: { collectionScans: { total: Long.fromNumber(3), nonTailable: Long.fromNumber(3) } },
    },
  ],
  usage: [use("_id_", 5), use("by_tenant", 90), use("ttl", 0, new Date("2026-11-20T00:00:00Z")), use("email", 2)],
  slow: [],
  shardKey: [],
};

const indexOf = (answers: MongoAnswers, name: string) => parseFigures(answers).indexes.find((one) => one.name === name);

describe("a mongod", () => {
  test("a mongod gives every figure", () => {
    expect(parseFigures(MONGOD)).toMatchObject({
      rows: 1_000,
      dataBytes: 4_096,
      indexBytes: 2_048,
      scans: { full: 3, index: 97 },
      since: SINCE.toISOString(),
      slow: [],
      node: "a:27017",
      otherNodes: 2,
      unknown: [],
    });
    expect(indexOf(MONGOD, "by_tenant")).toEqual({
      name: "by_tenant",
      id: "",
      method: "",
      state: "ready",
      bytes: 1_024,
      entries: null,
      scans: 90,
      entriesRead: null,
      since: SINCE.toISOString(),
      lastScan: null,
      cache: { hits: 960, reads: 40 },
      guards: [],
    });
    expect(indexOf(MONGOD, "email")?.guards).toEqual(["unique", "hidden"]);
    expect(indexOf(MONGOD, "_id_")?.guards).toEqual(["_id"]);
  });

  test("a mongod shows a running build in $collStats or in $indexStats", () => {
    expect(indexOf(MONGOD, "ttl")).toMatchObject({ state: "building", guards: ["ttl"] });
    const usage = [use("by_tenant", 0, SINCE, { building: true })];
    expect(indexOf({ ...MONGOD, usage }, "by_tenant")?.state).toBe("building");
  });

  test("a mongod's refusal of $indexStats and its profiler being off are quoted, and no scans are counted", () => {
    const figures = parseFigures({ ...MONGOD, usage: "not authorized", slow: "the profiler is off" });
    expect(figures.unknown).toEqual(["scans: not authorized", "slow queries: the profiler is off"]);
    expect(figures.indexes.map(({ scans }) => scans)).toEqual([null, null, null, null]);
    expect(figures.slow).toBeNull();
  });
});

test("figures of shards are added up, and counters count since the latest start of a shard", () => {
  const later = new Date("2026-11-10T00:00:00Z");
  const sharded: MongoAnswers = {
    ...MONGOD,
    server: { ...MONGOD.server, isRouter: true },
    stats: [...MONGOD.stats, ...MONGOD.stats],
    usage: [use("by_tenant", 90), use("by_tenant", 10, later)],
    shardKey: ["tenant"],
  };
  const figures = parseFigures(sharded);
  expect(figures).toMatchObject({ rows: 2_000, dataBytes: 8_192, indexBytes: 4_096, scans: { full: 6, index: 100 } });
  expect(indexOf(sharded, "by_tenant")).toMatchObject({
    bytes: 2_048,
    scans: 100,
    since: later.toISOString(),
    cache: { hits: 1_920, reads: 80 },
    guards: ["shard key"],
  });
  expect(indexOf({ ...sharded, shardKey: ["tenant", "user"] }, "by_tenant")?.guards).toEqual([]);
  expect(indexOf({ ...sharded, shardKey: ["at"] }, "by_tenant")?.guards).toEqual([]);
  const unread = { ...sharded, shardKey: undefined };
  expect(indexOf(unread, "by_tenant")?.guards).toEqual(["shard key"]);
  expect(parseFigures(unread).unknown.join()).toContain("shard key: not readable");
});

test("FerretDB gives sizes and scans; all other figures are named as not available, not as zero", () => {
  const [stat] = MONGOD.stats;
  const { indexDetails: _details, ...storageStats } = stat?.["storageStats"] as Record<string, unknown>;
  const ferret: MongoAnswers = {
    ...MONGOD,
    server: { ...MONGOD.server, product: "FerretDB", countsEach: false },
    stats: [{ storageStats }],
    slow: "no such command: 'profile'",
  };
  const figures = parseFigures(ferret);
  expect(figures).toMatchObject({ scans: null, since: null, slow: null });
  expect(indexOf(ferret, "by_tenant")).toMatchObject({ bytes: 1_024, scans: 90, since: null, cache: null });
  expect(figures.unknown).toEqual([
    "since when scans are counted: not available on FerretDB",
    "hit rate: not available on FerretDB",
    "share of collection scans: not available on FerretDB",
    "slow queries: no such command: 'profile'",
  ]);
});

test("the order of a clustered collection guards its _id, and an index that prepares to be unique guards already", () => {
  const specs = [
    { v: 2, key: { _id: 1 }, name: "by id", unique: true, clustered: true },
    { v: 2, key: { email: 1 }, name: "email", prepareUnique: true },
  ];
  const stats = [{ storageStats: { count: 10, storageSize: 4_096, totalIndexSize: 512, indexSizes: { email: 512 } } }];
  const clustered = { ...MONGOD, specs, stats, usage: [use("email", 2)] };
  expect(indexOf(clustered, "by id")).toMatchObject({ bytes: 0, scans: null, guards: ["_id", "unique"] });
  expect(indexOf(clustered, "email")?.guards).toEqual(["unique"]);
});
