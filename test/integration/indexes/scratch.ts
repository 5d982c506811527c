/** A PostgreSQL and a MongoDB database of a test file's own, with a table shaped like the cache, and ways to be in the way. */
import { randomUUID } from "node:crypto";
import { type Db, MongoClient } from "mongodb";
import pg from "pg";
import { inject, vi } from "vitest";
import { until } from "../../support/until.ts";

declare module "vitest" {
  // What the global set-up provides; a second declaration of the same types is no conflict.
  interface ProvidedContext {
    mongodbUri: string;
    databaseUrl: string;
  }
}

export interface Scratch {
  readonly databaseUrl: string;
  readonly mongo: Db;
  /** An idle connection for looking and for set-up. */
  readonly sql: pg.Client;
  connect(): Promise<pg.Client>;
  drop(): Promise<void>;
}

/** Statement that takes away what the keeper remembers of this database. */
export const FORGET = `DROP TABLE IF EXISTS ${["ledger", "reindex", "sample", "report"].map((name) => `tallyman_index_${name}`).join(", ")}`;

export async function scratch(): Promise<Scratch> {
  const name = `indexes_${randomUUID().replaceAll("-", "").slice(0, 12)}`;
  const admin = new pg.Client(inject("databaseUrl"));
  await admin.connect();
  await admin.query(`CREATE DATABASE ${name}`);
  const url = new URL(inject("databaseUrl"));
  url.pathname = `/${name}`;
  const clients: pg.Client[] = [];
  const connect = async () => {
    const client = new pg.Client(url.href);
    client.on("error", () => undefined);
    await client.connect();
    clients.push(client);
    return client;
  };
  const sql = await connect();
  const mongoClient = await MongoClient.connect(inject("mongodbUri"));
  const mongo = mongoClient.db(name);
  return {
    databaseUrl: url.href,
    mongo,
    sql,
    connect,
    async drop() {
      await mongo.dropDatabase();
      await mongoClient.close();
      await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
      await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
      await admin.end();
    },
  };
}

/**
 * The cache as far as its indexes go, with 400 rows; drops what was there. Without autovacuum, which moves sizes and plans,
 * and for whose end a concurrent build waits too.
 */
export async function makeCache(sql: pg.Client): Promise<void> {
  await sql.query("DROP TABLE IF EXISTS daily_usage_cache");
  await sql.query(`
    CREATE OR REPLACE FUNCTION usage_keys(doc jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ARRAY(SELECT CASE WHEN octet_length(k) > 512 THEN md5(k) ELSE k END FROM jsonb_object_keys(doc) k)`);
  await sql.query(`
    CREATE TABLE daily_usage_cache (
      tenant_id text COLLATE "C", date date, aggregated_by_user jsonb, aggregated_by_model jsonb, aggregated_by_provider jsonb,
      kind varchar(20), cached_at timestamptz, read_at timestamptz, state text, PRIMARY KEY (tenant_id, date))
      WITH (autovacuum_enabled = off)`);
  await sql.query(`
    INSERT INTO daily_usage_cache
    SELECT 'tenant ' || t, date '2026-01-01' + d, '{"u1": {}}', '{"m1": {}}', '{"p1": {}}', 'P', now(), now(), 'final'
      FROM generate_series(1, 20) t, generate_series(0, 19) d`);
}

export interface IndexRow {
  name: string;
  valid: boolean;
  /** Writers keep it up to date. */
  ready: boolean;
  /** Changes when an index is made again. */
  oid: number;
  file: number;
  definition: string;
}

export async function cacheIndexes(sql: pg.Client): Promise<IndexRow[]> {
  const { rows } = await sql.query<IndexRow>(`
    SELECT c.relname AS name, i.indisvalid AS valid, i.indisready AS ready, c.oid::int AS oid, c.relfilenode::int AS file, pg_get_indexdef(c.oid) AS definition
      FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
     WHERE i.indrelid = 'public.daily_usage_cache'::regclass ORDER BY 1`);
  return rows;
}

/** A transaction that wrote to the cache: a concurrent build waits for it, and so does a concurrent drop. */
export async function openWriter(client: pg.Client): Promise<void> {
  await client.query("BEGIN");
  await client.query(
    "UPDATE daily_usage_cache SET read_at = now() WHERE tenant_id = 'tenant 1' AND date = '2026-01-01'",
  );
}

/** An old snapshot over another table: a concurrent build waits for it in its last phase, a drop does not. */
export async function openSnapshot(client: pg.Client): Promise<void> {
  await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
  await client.query("SELECT count(*) FROM pg_type");
}

/** Answers the backend that builds concurrently, once it waits for somebody. */
export async function waitingBuild(sql: pg.Client): Promise<number> {
  return until("a build that waits", async () => {
    const { rows } = await sql.query<{ pid: number }>(`
      SELECT pid FROM pg_stat_activity
       WHERE datname = current_database() AND query LIKE 'CREATE%INDEX CONCURRENTLY%' AND wait_event_type = 'Lock'`);
    return rows[0]?.pid;
  });
}

/**
 * Stops the clock by which the keeper in this process loses its patience with others while it clears up, some seconds in
 * which a test that lets it go on may be too slow.
 */
export async function withEndlessPatience<T>(work: () => Promise<T>): Promise<T> {
  const clock = vi.spyOn(performance, "now").mockReturnValue(performance.now());
  try {
    return await work();
  } finally {
    clock.mockRestore();
  }
}

/** Puts the clock of new sessions ten days back where a month is about to end, so that it does not while the work is done. */
export async function awayFromMonthEnd(sql: pg.Client, work: () => Promise<void>): Promise<void> {
  const [{ name, back }] = (
    await sql.query<{ name: string; back: string }>(
      `SELECT quote_ident(current_database()) AS name,
              CASE WHEN extract(day FROM now() AT TIME ZONE 'UTC') > 20 THEN '10 days' ELSE '0' END AS back`,
    )
  ).rows as [{ name: string; back: string }];
  await sql.query(`
    CREATE OR REPLACE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    RETURN pg_catalog.clock_timestamp() - interval '${back}'`);
  await sql.query(`ALTER DATABASE ${name} SET search_path = public, pg_catalog`);
  try {
    await work();
  } finally {
    await sql.query(`ALTER DATABASE ${name} RESET search_path`);
  }
}
