/**
 * The figures of a MongoDB collection and its indexes, as far as the server gives them: mongod gives all, of mongos the
 * shards' figures are added up, FerretDB gives sizes and scan counts. Each query may fail alone, also for a missing
 * right.
 */
import type { Db, Document } from "mongodb";
import { messageOf } from "../engine.ts";
import { isPrimary } from "./catalog.ts";
import {
  type Guard,
  type IndexFigures,
  SLOW_MS,
  SLOW_SHOWN,
  type SlowQuery,
  type TargetFigures,
  withoutFigures,
} from "../figures.ts";

const DAY_MS = 86_400_000;

/** Reads one collection. @param now profiler entries of the day before this are read */
export async function mongoFigures(db: Db, target: string, now: number): Promise<TargetFigures> {
  const [info] = await db.listCollections({ name: target }).toArray();
  if (!info) return withoutFigures("mongodb", target, "there is no such collection");
  if (info.type !== "collection") return withoutFigures("mongodb", target, `it is a ${info.type ?? "special object"}`);
  const server = await serverOf(db);
  const collection = db.collection(target);
  const [specs, stats, usage, slow, shardKey] = await Promise.all([
    collection.listIndexes().toArray() as Promise<Document[]>,
    collectionStats(db, target),
    collection
      .aggregate([{ $indexStats: {} }])
      .toArray()
      .catch(messageOf),
    slowQueries(db, target, now),
    shardKeyOf(db, target, server.isRouter),
  ]);
  return parseFigures({ target, server, specs, stats, usage, slow, shardKey });
}

interface Server {
  readonly product: string;
  /**
   * `since` is kept for each index. FerretDB 2.7 gives the start of its own process for every index, also for those
   * made later, while its counts come from PostgreSQL and survive a restart.
   */
  readonly countsEach: boolean;
  readonly node: string;
  readonly otherNodes: number;
  readonly isRouter: boolean;
}

/** The server's replies; a string in place of a reply is its error. */
export interface MongoAnswers {
  readonly target: string;
  readonly server: Server;
  /** `listIndexes` */
  readonly specs: readonly Document[];
  /** `$collStats`, a document a shard */
  readonly stats: readonly Document[];
  /** `$indexStats`, a document an index and shard */
  readonly usage: readonly Document[] | string;
  readonly slow: readonly SlowQuery[] | string;
  /** empty where the collection is not sharded; undefined where that could not be read */
  readonly shardKey: readonly string[] | undefined;
}

/** Pure. */
export function parseFigures(answers: MongoAnswers): TargetFigures {
  const { target, server, specs, stats, usage, slow, shardKey } = answers;
  const storage = stats.map((stat) => (stat["storageStats"] ?? stat) as Document);
  const uses = typeof usage === "string" ? [] : usage;
  const pending = new Set(storage.flatMap((stat) => (stat["indexBuilds"] as string[] | undefined) ?? []));
  const rows = sum(storage.map((stat) => number(stat["count"]))) ?? 0;
  const indexes = specs.map((spec): IndexFigures => {
    const name = String(spec["name"]);
    const own = uses.filter((use) => use["name"] === name);
    const since = server.countsEach
      ? own.map((use) => (use["accesses"] as Document | undefined)?.["since"] as unknown).filter(isDate)
      : [];
    const building = pending.has(name) || own.some((use) => use["building"] === true);
    return {
      name,
      id: "",
      method: "",
      state: building ? "building" : "ready",
      bytes: sum(storage.map((stat) => number((stat["indexSizes"] as Document | undefined)?.[name]))) ?? 0,
      entries: null,
      scans: sum(own.map((use) => number((use["accesses"] as Document | undefined)?.["ops"]))),
      entriesRead: null,
      // Of several shards the latest start: only since then do all of them count.
      since: since.length === 0 ? null : new Date(Math.max(...since.map((date) => date.getTime()))).toISOString(),
      lastScan: null,
      cache: cacheOf(storage, name),
      guards: guardsOf(spec, shardKey),
    };
  });
  const full = sum(
    stats.map((stat) => number(((stat["queryExecStats"] as Document)?.["collectionScans"] as Document)?.["total"])),
  );
  const counted = indexes.filter(({ scans }) => scans !== null);
  const starts = indexes.flatMap(({ since }) => since ?? []).sort();
  const missing = (what: string) => `${what}: not available on ${server.product}`;
  return {
    engine: "mongodb",
    target,
    rows,
    dataBytes: sum(storage.map((stat) => number(stat["storageSize"]))) ?? 0,
    indexBytes: sum(storage.map((stat) => number(stat["totalIndexSize"]))) ?? 0,
    scans: full === null ? null : { full, index: sum(counted.map(({ scans }) => scans)) ?? 0 },
    // No common counter start: each index has its own `since`.
    epoch: "",
    since: starts.at(0) ?? null,
    lastAnalyze: null,
    slow: typeof slow === "string" ? null : slow,
    node: server.node,
    otherNodes: server.otherNodes,
    indexes,
    unknown: [
      ...(counted.length > 0 ? [] : [typeof usage === "string" ? `scans: ${usage}` : missing("scans")]),
      ...(server.countsEach ? [] : [missing("since when scans are counted")]),
      ...(indexes.some(({ cache }) => cache !== null) ? [] : [missing("hit rate")]),
      ...(full === null ? [missing("share of collection scans")] : []),
      ...(typeof slow === "string" ? [`slow queries: ${slow}`] : []),
      ...(shardKey === undefined ? ["shard key: not readable, so no index is called unused"] : []),
    ],
  };
}

async function serverOf(db: Db): Promise<Server> {
  const [build, hello] = await Promise.all([db.command({ buildInfo: 1 }), db.command({ hello: 1 })]);
  const hosts = [hello["hosts"], hello["passives"]].flatMap((list) => (list as string[] | undefined) ?? []);
  const address = db.client.options.hosts[0]?.toString() ?? "";
  return {
    countsEach: !("ferretdb" in build),
    product: "ferretdb" in build ? "FerretDB" : `this server (${String(build["version"])})`,
    node: (hello["me"] as string | undefined) ?? address,
    otherNodes: Math.max(0, hosts.length - 1),
    isRouter: hello["msg"] === "isdbgrid",
  };
}

async function collectionStats(db: Db, target: string): Promise<Document[]> {
  const ask = ($collStats: Document) => db.collection(target).aggregate([{ $collStats }]).toArray();
  const storageStats = { scale: 1 };
  // FerretDB refuses queryExecStats (error 115), as does MongoDB before 4.4.
  return ask({ storageStats, queryExecStats: {} }).catch(() => ask({ storageStats }));
}

/** Slow queries of the last day from the profiler, if it is switched on. */
async function slowQueries(db: Db, target: string, now: number): Promise<SlowQuery[] | string> {
  try {
    const profile = await db.command({ profile: -1 });
    if (Number(profile["was"]) < 1) return "the profiler is off (db.setProfilingLevel(1))";
    const found = await db
      .collection("system.profile")
      .aggregate([
        {
          $match: {
            ns: `${db.databaseName}.${target}`,
            ts: { $gt: new Date(now - DAY_MS) },
            millis: { $gte: SLOW_MS },
          },
        },
        {
          $group: {
            _id: { op: "$op", plan: "$planSummary", shape: { $ifNull: ["$planCacheShapeHash", "$queryHash"] } },
            calls: { $sum: 1 },
            meanMs: { $avg: "$millis" },
            maxMs: { $max: "$millis" },
            total: { $sum: "$millis" },
          },
        },
        { $sort: { total: -1 } },
        { $limit: SLOW_SHOWN },
      ])
      .toArray();
    return found.map(({ _id, calls, meanMs, maxMs }) => {
      const { op, plan, shape } = _id as Document;
      const query = [op, plan, shape].filter((part) => typeof part === "string").join(" ");
      return { query, calls: Number(calls), meanMs: Math.round(Number(meanMs) * 10) / 10, maxMs: Number(maxMs) };
    });
  } catch (error) {
    return messageOf(error);
  }
}

async function shardKeyOf(db: Db, target: string, isRouter: boolean): Promise<string[] | undefined> {
  if (!isRouter) return [];
  const collections = db.client.db("config").collection<{ _id: string; key: Document }>("collections");
  try {
    const entry = await collections.findOne({ _id: `${db.databaseName}.${target}` });
    return Object.keys(entry?.key ?? {});
  } catch {
    return undefined;
  }
}

function guardsOf(spec: Document, shardKey: readonly string[] | undefined): Guard[] {
  const fields = Object.keys(spec["key"] as Document);
  // If the shard key is not known, any index may be its index.
  const isShardKey =
    shardKey === undefined || (shardKey.length > 0 && shardKey.every((field, at) => fields[at] === field));
  const guards: [Guard, boolean][] = [
    ["_id", isPrimary(spec)],
    ["unique", spec["unique"] === true || spec["prepareUnique"] === true],
    ["ttl", spec["expireAfterSeconds"] !== undefined],
    ["hidden", spec["hidden"] === true],
    ["shard key", isShardKey],
  ];
  return guards.filter(([, applies]) => applies).map(([guard]) => guard);
}

/** WiredTiger counts the pages requested, and those of them that it had to read. */
function cacheOf(storage: readonly Document[], name: string): IndexFigures["cache"] {
  const counters = storage.map((stat) => {
    return ((stat["indexDetails"] as Document | undefined)?.[name] as Document | undefined)?.["cache"] as
      Document | undefined;
  });
  const asked = sum(counters.map((cache) => number(cache?.["pages requested from the cache"])));
  const reads = sum(counters.map((cache) => number(cache?.["pages read into cache"])));
  return asked === null || reads === null ? null : { hits: Math.max(0, asked - reads), reads };
}

/** Int32, Long or Double. */
function number(value: unknown): number | null {
  return value === undefined || value === null ? null : Number(value);
}

/** The sum of the known values; null if none is known. */
function sum(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((total, value) => total + value, 0);
}

function isDate(value: unknown): value is Date {
  return value instanceof Date;
}
