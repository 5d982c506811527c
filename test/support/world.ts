import { randomBytes } from "node:crypto";
import { MongoClient, type Collection, type Document } from "mongodb";
import pg from "pg";
import { inject } from "vitest";
import { createDatabase, withMongoDatabase } from "../../dev/servers.ts";
import { loadConfig, type Config } from "../../src/config.ts";
import { migrate } from "../../src/db/postgres/migrate.ts";
import { createLogger } from "../../src/log.ts";
import { Services } from "../../src/services.ts";
import { quietPeriod } from "./quiet-hours.ts";

/** Databases and a queue prefix of a test file's own, on the shared servers. */
export interface World {
  /** what a process needs in its environment to work here */
  readonly env: Readonly<Record<string, string>>;
  readonly config: Config;
  readonly services: Services;
  readonly events: Collection;
  readonly pool: pg.Pool;
  /** inserts events, however many */
  insert(events: Iterable<Document>): Promise<void>;
  close(): Promise<void>;
}

/** Schedules that leave a worker's tables alone: the last night was in February 2024, the next refresh is hours away. */
const QUIET = { NIGHTLY_CRON: "0 0 29 2 *", AUDIT_CRON: "0 0 29 2 *", INDEXES_CRON: "0 0 29 2 *" };

/** A fresh world: migrated, with the index that reads need and no event. Settings may be given as environment names. */
export async function createWorld(purpose: string, settings: Readonly<Record<string, string>> = {}): Promise<World> {
  const name = `tallyman_${purpose}_${randomBytes(4).toString("hex")}`;
  const databaseUrl = await createDatabase(inject("databaseUrl"), purpose);
  const env = {
    MONGODB_URI: withMongoDatabase(inject("mongodbUri"), name),
    REDIS_URL: inject("redisUrl"),
    DATABASE_URL: databaseUrl,
    QUEUE_PREFIX: name,
    HTTP_PORT: "0",
    LOG_LEVEL: "silent",
    ...QUIET,
    REFRESH_SECONDS: String(quietPeriod()),
    ...settings,
  };
  await migrate(databaseUrl, "up");
  const config = loadConfig(env);
  const services = new Services(config, createLogger(config.logLevel));
  const client = new MongoClient(env.MONGODB_URI, { enableUtf8Validation: false });
  const events = client.db().collection(config.eventsCollection);
  const { tenant_id, created_at } = config.eventsFields;
  await events.createIndex({ [tenant_id]: 1, [created_at]: -1 }, { name: "idx_tenant_date" });
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 4, options: "-c TimeZone=UTC" });
  pool.on("error", () => undefined);
  return {
    env,
    config,
    services,
    events,
    pool,
    async insert(documents) {
      let batch: Document[] = [];
      for (const document of documents) {
        batch.push(document);
        if (batch.length === 5_000) {
          await events.insertMany(batch, { ordered: false });
          batch = [];
        }
      }
      if (batch.length > 0) await events.insertMany(batch, { ordered: false });
    },
    async close() {
      await services.close();
      await client.db().dropDatabase();
      await client.close();
      await pool.end();
    },
  };
}
