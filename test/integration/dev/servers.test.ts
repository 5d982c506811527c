import { chmod, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { Redis } from "ioredis";
import { MongoClient } from "mongodb";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import {
  createDatabase,
  startMongo,
  startPostgres,
  startRedis,
  startServers,
  withMongoDatabase,
  type Servers,
} from "../../../dev/servers.ts";
import { Guard } from "../../../dev/servers/guard.ts";
import { UnreachableError } from "../../../src/errors.ts";
import { eventually, firstLine, isAlive, isListening, startParent } from "./processes.ts";

/** Temporary files of the servers go here, so that a test can tell whether any are left. */
let temporary: string;
let both: readonly [Servers, Servers];
const lines: string[] = [];

const SETTINGS = ["MONGODB_URI", "REDIS_URL", "DATABASE_URL"] as const;
const quiet = { print: () => undefined };

const clearSettings = () => {
  for (const setting of SETTINGS) vi.stubEnv(setting, undefined);
};

beforeAll(async () => {
  clearSettings();
  const print = (line: string) => void lines.push(line);
  both = await Promise.all([startServers({ print }), startServers(quiet)]);
});
afterAll(async () => {
  await Promise.all(both.map((servers) => servers.stop()));
});

beforeEach(async () => {
  clearSettings();
  temporary = await mkdtemp(path.join(tmpdir(), "tallyman-test-"));
  // PostgreSQL, which root runs as another user, has to reach its data.
  await chmod(temporary, 0o755);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(temporary, { recursive: true, force: true });
});

/** Other things that use the folder for temporary files are not ours. */
const leftovers = async () => (await readdir(temporary)).filter((name) => name.startsWith("tallyman-"));

test("each server says where it comes from, in one line", () => {
  const [servers] = both;
  expect(servers.sources.map(({ server }) => server)).toEqual(["mongodb", "redis", "postgres"]);
  for (const { server, source, because } of servers.sources) {
    expect(
      lines.filter((line) => line.startsWith(`${server}: ${source} in `) && line.endsWith(`(${because})`)),
    ).toHaveLength(1);
  }
});

test("two runs at once have servers of their own", async () => {
  const [one, two] = both;
  const addresses = both.flatMap(({ mongodbUri, redisUrl, databaseUrl }) => [mongodbUri, redisUrl, databaseUrl]);
  expect(new Set(addresses).size).toBe(6);

  await withMongo(one.mongodbUri, (db) => db.collection("seen").insertOne({ by: "one" }));
  await withRedis(one, (redis) => redis.set("seen", "one"));
  expect(await withMongo(one.mongodbUri, (db) => db.collection("seen").countDocuments())).toBe(1);
  expect(await withMongo(two.mongodbUri, (db) => db.collection("seen").countDocuments())).toBe(0);
  expect(await withRedis(one, (redis) => redis.get("seen"))).toBe("one");
  expect(await withRedis(two, (redis) => redis.get("seen"))).toBeNull();
});

test("Redis evicts nothing and keeps nothing on disk", async () => {
  const setting = async (name: string) => withRedis(both[0], (redis) => redis.config("GET", name));
  expect(await setting("maxmemory-policy")).toContain("noeviction");
  expect(await setting("save")).toContain("");
  expect(await setting("appendonly")).toContain("no");
});

test("a created database is fresh, empty and found by its URL", async () => {
  const urls = await Promise.all([1, 2].map(() => createDatabase(both[0].databaseUrl, "Usage cache")));
  expect(new Set(urls).size).toBe(2);
  for (const url of urls) {
    const name = new URL(url).pathname.slice(1);
    expect(name).toMatch(/^tallyman_usage_cache_[0-9a-f]{8}$/);
    const { rows } = await query(url, "SELECT current_database() AS name, current_setting('fsync') AS fsync");
    expect(rows).toEqual([{ name, fsync: "off" }]);
  }
});

test.each([
  ["MONGODB_URI", "mongodb://reader:secret@127.0.0.1:1/usage"],
  ["REDIS_URL", "redis://:secret@127.0.0.1:1"],
  ["DATABASE_URL", "postgres://postgres:secret@127.0.0.1:1/postgres"],
])("%s that does not answer is an error, not another server", async (setting, uri) => {
  vi.stubEnv(setting, uri);
  const printed: string[] = [];
  const failure: unknown = await startServers({ print: (line) => void printed.push(line) }).catch((e: unknown) => e);
  expect(failure).toBeInstanceOf(UnreachableError);
  expect((failure as Error).message).toMatch(new RegExp(`^${setting} is set to .*127.0.0.1:1.*does not answer: .+`));
  expect((failure as Error).message).not.toContain("secret");
  expect(printed).toEqual([]);
});

test("servers that are named are used as they are", async () => {
  const [running] = both;
  vi.stubEnv("MONGODB_URI", withMongoDatabase(running.mongodbUri, "usage"));
  vi.stubEnv("REDIS_URL", running.redisUrl);
  const database = await createDatabase(running.databaseUrl, "named");
  vi.stubEnv("DATABASE_URL", database);
  const servers = await startServers(quiet);
  expect(servers.mongodbUri).toBe(running.mongodbUri);
  expect(servers.databaseUrl).toBe(database);
  expect(servers.sources.map(({ because }) => because)).toEqual(SETTINGS.map((setting) => `${setting} is set`));
  expect(await createDatabase(servers.databaseUrl, "beside")).toContain("/tallyman_beside_");
  await servers.stop();
  expect(await withRedis(running, (redis) => redis.ping())).toBe("PONG");
});

test("private servers that crash come back at their address, those that keep data with it", async () => {
  const [redis, postgres, mongo] = await Promise.all([startRedis(quiet), startPostgres(quiet), startMongo(quiet)]);
  try {
    await query(postgres.uri, "CREATE TABLE kept AS SELECT 1 AS n");
    await withMongo(mongo.uri, (db) => db.collection("kept").insertOne({ n: 1 }, { writeConcern: { w: 1, j: true } }));
    for (const server of [redis, postgres, mongo]) {
      const { uri, pid } = server;
      await server.halt("SIGKILL");
      expect(await isListening(uri)).toBe(false);
      await server.resume();
      expect(server.uri).toBe(uri);
      expect(pid === undefined || server.pid !== pid).toBe(true); // a container has none
    }
    expect((await query(postgres.uri, "SELECT n FROM kept")).rows).toEqual([{ n: 1 }]);
    expect(await withMongo(mongo.uri, (db) => db.collection("kept").countDocuments({ n: 1 }))).toBe(1);
  } finally {
    await Promise.all([redis, postgres, mongo].map((server) => server.stop()));
  }
});

test.each([
  ["all", "SIGKILL", "the process"],
  ["quick", "SIGINT", "its whole group, as Ctrl-C does"],
  ["quick", "SIGTERM", "its whole group"],
] as const)("%s servers and their files go when %s hits %s", async (what, signal, whom) => {
  const parent = startParent([what === "all" ? "servers" : "quick"], temporary);
  const { pids, uris } = (await firstLine(parent)) as { pids: number[]; uris: string[] };
  expect(await Promise.all(uris.map(isListening))).not.toContain(false);
  expect(await leftovers()).not.toEqual([]);
  process.kill(whom === "the process" ? (parent.pid ?? 0) : -(parent.pid ?? 0), signal);
  await eventually(async () => {
    expect(pids.filter(isAlive)).toEqual([]);
    expect(await Promise.all(uris.map(isListening))).not.toContain(true);
    expect(await leftovers()).toEqual([]);
  });
});

test("a guard that is killed takes its servers along, and the next run removes its files", async () => {
  vi.stubEnv("TMPDIR", temporary);
  const guard = await Guard.start();
  const server = await guard.spawn({ command: "sleep", args: ["600"] });
  process.kill(guard.pid, "SIGKILL");
  await eventually(() => expect(isAlive(server.pid)).toBe(false));
  expect(await readdir(temporary)).toEqual([path.basename(guard.folder)]);
  const next = await Guard.start();
  expect(await readdir(temporary)).toEqual([path.basename(next.folder)]);
  await next.end();
});

async function withMongo<T>(uri: string, work: (db: ReturnType<MongoClient["db"]>) => Promise<T>): Promise<T> {
  const client = new MongoClient(uri);
  try {
    return await work(client.db("tallyman_test_servers"));
  } finally {
    await client.close();
  }
}

async function withRedis<T>(servers: Servers, work: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(servers.redisUrl);
  try {
    return await work(redis);
  } finally {
    redis.disconnect();
  }
}

async function query(url: string, sql: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await client.query(sql);
  } finally {
    await client.end();
  }
}
