import { Redis } from "ioredis";
import { MongoClient } from "mongodb";
import pg from "pg";
import { loadConfig, type Config } from "../../src/config.ts";
import { createLogger } from "../../src/log.ts";
import { Services } from "../../src/services.ts";
import { createDatabase, withMongoDatabase, type Servers } from "../servers.ts";

/** Databases and a queue prefix of the demo's own, also on servers that somebody else uses. */
export interface World {
  /** the environment for a command that works here */
  readonly env: Readonly<Record<"MONGODB_URI" | "REDIS_URL" | "DATABASE_URL" | "QUEUE_PREFIX", string>>;
  readonly config: Config;
  readonly services: Services;
  /** Closes the services and drops what was created; it can be called once. */
  end(): Promise<void>;
}

/** Takes no setting from the environment: an admin URI there would lead to another database. */
export async function createWorld(servers: Servers): Promise<World> {
  const databaseUrl = await createDatabase(servers.databaseUrl, "demo");
  const name = new URL(databaseUrl).pathname.slice(1);
  const env = {
    MONGODB_URI: withMongoDatabase(servers.mongodbUri, name),
    REDIS_URL: servers.redisUrl,
    DATABASE_URL: databaseUrl,
    QUEUE_PREFIX: name,
  };
  const config = loadConfig({ ...env, HTTP_PORT: "0", LOG_LEVEL: process.env["LOG_LEVEL"] || "warn" });
  const services = new Services(config, createLogger(config.logLevel));
  return {
    env,
    config,
    services,
    async end() {
      await services.close();
      const dropped = await Promise.allSettled([
        dropMongo(env.MONGODB_URI),
        dropKeys(env.REDIS_URL, `${name}:`),
        dropPostgres(servers.databaseUrl, name),
      ]);
      const reasons = dropped.flatMap((result) => (result.status === "rejected" ? [result.reason as Error] : []));
      if (reasons.length > 0) {
        throw new Error(`not all of ${name} could be dropped: ${reasons.map(({ message }) => message).join("; ")}`);
      }
    },
  };
}

async function dropMongo(uri: string): Promise<void> {
  const client = new MongoClient(uri, { serverSelectionTimeoutMS: 5_000 });
  try {
    await client.db().dropDatabase();
  } finally {
    await client.close();
  }
}

async function dropKeys(url: string, prefix: string): Promise<void> {
  const redis = new Redis(url, { maxRetriesPerRequest: 1, retryStrategy: () => null });
  redis.on("error", () => undefined); // the command that the error interrupts throws
  try {
    let cursor = "0";
    do {
      const [next, keys] = await redis.scan(cursor, "MATCH", `${prefix}*`, "COUNT", 1_000);
      if (keys.length > 0) await redis.unlink(...keys);
      cursor = next;
    } while (cursor !== "0");
  } finally {
    redis.disconnect();
  }
}

async function dropPostgres(serverUrl: string, name: string): Promise<void> {
  const client = new pg.Client({ connectionString: serverUrl, connectionTimeoutMillis: 5_000 });
  client.on("error", () => undefined); // the statement that the error interrupts throws
  try {
    await client.connect();
    await client.query(`DROP DATABASE ${name} WITH (FORCE)`);
  } finally {
    await client.end();
  }
}
