import { Redis } from "ioredis";
import { MongoClient } from "mongodb";
import { expect, test } from "vitest";
import { CLIENT_OPTIONS } from "../../../src/db/mongo/client.ts";
import { connectionOptions } from "../../../src/db/postgres/pool.ts";
import { COMMAND_OPTIONS } from "../../../src/db/redis/connect.ts";
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

test("a command tries to connect to Redis once, for ten seconds at most", () => {
  const { options } = new Redis("redis://h", COMMAND_OPTIONS);
  expect(options.connectTimeout).toBeLessThanOrEqual(AT_MOST);
  expect(options.retryStrategy?.(1)).toBeNull();
  expect(options).toMatchObject({ maxRetriesPerRequest: 1, enableOfflineQueue: false });
});

test.each([
  ["of the tables", connectionOptions("postgres://h/db")],
  ["of the index keeper", keeperOptions("postgres://h/db", "test")],
])("a connection to PostgreSQL, %s, is given up after ten seconds", (_, options) => {
  expect(options.connectionTimeoutMillis).toBe(AT_MOST);
});
