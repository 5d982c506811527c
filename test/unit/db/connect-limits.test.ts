import { Redis } from "ioredis";
import { MongoClient, type ReadPreference } from "mongodb";
import { expect, test } from "vitest";
import { CLIENT_OPTIONS } from "../../../src/db/mongo/client.ts";
import { connectionOptions } from "../../../src/db/postgres/pool.ts";
import { COMMAND_OPTIONS, createWorkerRedis } from "../../../src/db/redis/connect.ts";
import { keeperOptions } from "../../../src/indexes/engines/postgres/connect.ts";

/** In ms: whoever waits for a command hears within this time of a server that is away. */
const AT_MOST = 10_000;

test("a connection to MongoDB is given up after ten seconds at most, where the driver takes thirty", async () => {
  const limits = ({ options }: MongoClient) => [options.serverSelectionTimeoutMS, options.connectTimeoutMS];
  const [own, plain] = [new MongoClient("mongodb://h/db", CLIENT_OPTIONS), new MongoClient("mongodb://h/db")];
  expect(limits(own)).toEqual([AT_MOST, AT_MOST]);
  expect(limits(plain)).toEqual([30_000, 30_000]);
  await Promise.all([own.close(), plain.close()]);
});

test.each([
  "mongodb://h/db",
  "mongodb://h/db?readPreference=secondaryPreferred",
  "mongodb://h/db?readPreference=nearest&readPreferenceTags=dc:ny&readPreferenceTags=&maxStalenessSeconds=120",
  "mongodb://a,b/db?replicaSet=rs&readPreference=secondary",
])("everything is read from the primary, whatever the connection string prefers: %s", async (uri) => {
  const client = new MongoClient(uri, CLIENT_OPTIONS);
  const { mode, tags, maxStalenessSeconds } = client.db().collection("events").readPreference as ReadPreference;
  expect({ mode, tags: tags ?? [], maxStalenessSeconds }).toEqual({ mode: "primary", tags: [] });
  expect(client.readPreference.mode).toBe("primary");
  await client.close();
});

test("a command tries to connect to Redis once, for ten seconds at most", () => {
  const { options } = new Redis("redis://h", COMMAND_OPTIONS);
  expect(options.connectTimeout).toBeLessThanOrEqual(AT_MOST);
  expect(options.retryStrategy?.(1)).toBeNull();
  expect(options).toMatchObject({ maxRetriesPerRequest: 1, enableOfflineQueue: false });
});

test("a worker's connection is made again when Redis is silent; a command that takes jobs is never given up", () => {
  const found = new Redis("redis://h", COMMAND_OPTIONS);
  const address = { url: "redis://h", sentinels: [], sentinelName: "primary" };
  const redis = createWorkerRedis(address, found, () => undefined);
  // The queue library makes its own copies of the first.
  const [jobs, copy, queues] = [redis.jobs, (redis.jobs as Redis).duplicate(), redis.queues].map(
    ({ options }) => options as Redis["options"],
  );
  redis.disconnect();
  for (const options of [jobs, copy, queues]) {
    expect(options).toMatchObject({ maxRetriesPerRequest: null });
    expect(options?.socketTimeout).toBeGreaterThan(10_000); // the queue's longest wait for a job
    expect(options?.reconnectOnError?.(new Error("READONLY You can't write against a read only replica."))).toBe(true);
    expect(options?.reconnectOnError?.(new Error("ERR no such key"))).toBe(false);
  }
  expect([jobs?.commandTimeout, copy?.commandTimeout]).toEqual([undefined, undefined]);
  expect(queues?.commandTimeout).toBeGreaterThan(0);
});

test.each([
  ["of the tables", connectionOptions("postgres://h/db")],
  ["of the index keeper", keeperOptions("postgres://h/db", "test")],
])("a connection to PostgreSQL, %s, is given up after ten seconds", (_, options) => {
  expect(options.connectionTimeoutMillis).toBe(AT_MOST);
});
