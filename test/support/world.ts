import { randomBytes } from "node:crypto";
import { MongoClient, type Collection, type Document } from "mongodb";
import pg from "pg";
import { afterEach, inject } from "vitest";
import { createDatabase, withMongoDatabase } from "../../dev/servers.ts";
import { loadConfig, type Config } from "../../src/config.ts";
import { migrate } from "../../src/db/postgres/migrate.ts";
import { createLogger } from "../../src/log.ts";
import { Services } from "../../src/services.ts";
import { insertEvents } from "./insert-events.ts";
import { openedForEach, openedOnce } from "./opened.ts";
import { endProcesses } from "./program.ts";
import { quietPeriod } from "./quiet-hours.ts";

type Settings = Readonly<Record<string, string>>;

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
  /** takes away all events, and all that Tallyman stored but the settings in force */
  reset(): Promise<void>;
  /** takes away all rows of some tables, and leaves the rest as it is */
  empty(...tables: string[]): Promise<void>;
  /** ends the processes that still run, too */
  close(): Promise<void>;
}

/** Schedules that leave a worker's tables alone: the last night was in February 2024, the next refresh is hours away. */
const QUIET = { NIGHTLY_CRON: "0 0 29 2 *", AUDIT_CRON: "0 0 29 2 *", INDEXES_CRON: "0 0 29 2 *" };

/**
 * Deletes from every table of Tallyman's but those of the settings in force and of the migrations, and counts ids from 1
 * again. Rows are few here: DELETE takes about a millisecond, TRUNCATE of the same tables 80.
 */
const RESET = `DO $$ DECLARE each text; BEGIN
  FOR each IN SELECT tablename FROM pg_tables
    WHERE schemaname = 'public' AND tablename NOT IN ('usage_meta', 'usage_migration')
  LOOP EXECUTE format('DELETE FROM public.%I', each); END LOOP;
  DELETE FROM usage_meta WHERE name <> 'settings';
  PERFORM setval(format('public.%I', sequencename), 1, false) FROM pg_sequences
    WHERE schemaname = 'public' AND sequencename <> 'usage_migration_id_seq';
END $$`;

/**
 * A world for all tests of the file: migrated, with the index that reads need and no event. Settings have the names they
 * have in an environment.
 */
export function useWorld(purpose: string, settings?: Settings): World {
  return openedOnce(() => createWorld(purpose, settings));
}

/** A world of each test's own. */
export function useWorldForEach(purpose: string, settings?: Settings): World {
  return openedForEach(() => createWorld(purpose, settings));
}

/** What opens worlds within a test, with settings of its own; they are closed after the test. */
export function useWorlds(purpose: string): (settings?: Settings) => Promise<World> {
  const worlds: World[] = [];
  afterEach(async () => {
    for (const world of worlds.splice(0)) await world.close();
  });
  return async (settings) => {
    const world = await createWorld(purpose, settings);
    worlds.push(world);
    return world;
  };
}

async function createWorld(purpose: string, settings: Settings = {}): Promise<World> {
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
    insert: (documents) => insertEvents(events, documents),
    async reset() {
      await Promise.all([events.deleteMany({}), pool.query(RESET)]);
    },
    async empty(...tables) {
      for (const table of tables) await pool.query(`DELETE FROM ${table}`);
    },
    async close() {
      await endProcesses();
      await services.close();
      await client.db().dropDatabase();
      await client.close();
      await pool.end();
    },
  };
}
