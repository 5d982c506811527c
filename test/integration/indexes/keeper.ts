/** The index keeper at work in a scratch database: as functions in this process, and as a process of its own that can be killed. */
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type pg from "pg";
import { inject } from "vitest";
import { withMongoDatabase } from "../../../dev/servers.ts";
import { checkIndexes, type IndexFinding } from "../../../src/indexes/check/check.ts";
import { ensureIndexes, type EnsureOptions, type EnsureReport } from "../../../src/indexes/ensure/ensure.ts";
import { manifestText } from "../../../src/indexes/manifest/load.ts";
import type { Manifest, MongoIndex, PostgresIndex } from "../../../src/indexes/manifest/manifest.ts";
import { planRollback, rollbackIndexes, type RollbackRequest } from "../../../src/indexes/rollback/rollback.ts";
import { start, type Command } from "../../support/process.ts";
import { until } from "../../support/until.ts";
import { type Scratch } from "./scratch.ts";

export const TABLE = "public.daily_usage_cache";
export const EVENTS = "events";

/** A manifest of indexes on the cache's table. */
export function onTable(...indexes: readonly Partial<PostgresIndex>[]): Manifest {
  const postgres = indexes.map((index) => ({ name: "by_day", why: "test", columns: ["date"], ...index }));
  return { version: 1, project: "test", postgres: { [TABLE]: postgres } };
}

/** A manifest of indexes on a collection, which is created unless it exists. */
export function onCollection(...indexes: readonly Partial<MongoIndex>[]): Manifest {
  const mongo = indexes.map((index): MongoIndex => ({ name: "by_a", why: "test", keys: [["a", 1]], ...index }));
  return { version: 1, project: "test", createCollections: true, mongo: { [EVENTS]: mongo } };
}

export type Keeper = ReturnType<typeof keeper>;

export function keeper(own: Scratch) {
  const targets = (manifest: Manifest) => ({ manifest, mongo: own.mongo, databaseUrl: own.databaseUrl });
  function run(manifest: Manifest, args: readonly string[]): Command {
    const file = join(tmpdir(), `${randomUUID()}.json`);
    writeFileSync(file, manifestText(manifest, "json"));
    const env = {
      DATABASE_URL: own.databaseUrl,
      MONGODB_URI: withMongoDatabase(inject("mongodbUri"), own.mongo.databaseName),
      LOG_LEVEL: "silent",
    };
    return start(env, ["indexes", ...args, "--manifest", file]);
  }
  return {
    ensure: (manifest: Manifest, options: Partial<EnsureOptions> = {}): Promise<EnsureReport> =>
      ensureIndexes({ ...targets(manifest), ...options }),
    check: (manifest: Manifest) => checkIndexes(targets(manifest)),
    plan: (manifest: Manifest, request: RollbackRequest = {}) => planRollback(targets(manifest), request),
    rollback: (manifest: Manifest, request: RollbackRequest = {}, options: Partial<EnsureOptions> = {}) =>
      rollbackIndexes({ ...targets(manifest), ...options }, request),
    /** Starts `tallyman indexes <args> --json`; ends by itself, by a signal, or with the test's processes. */
    command: (manifest: Manifest, ...args: readonly string[]): Command => run(manifest, [...args, "--json"]),
    /** What `tallyman indexes <args>` prints for a person. */
    text: async (manifest: Manifest, ...args: readonly string[]) => (await run(manifest, args).ended).stdout,
  };
}

/** What one status is of each declared index and each other one. */
export function statuses(findings: readonly IndexFinding[]): Record<string, string> {
  return Object.fromEntries(findings.map(({ name, status }) => [name, status]));
}

/** What became of each index. */
export function actions(
  entries: readonly { readonly name: string; readonly action: string }[],
): Record<string, string> {
  return Object.fromEntries(entries.map(({ name, action }) => [name, action]));
}

export interface LedgerRow {
  run_id: string;
  name: string;
  intent: string;
  state: string;
  previous: string | null;
  oid: string | null;
}

/** PostgreSQL's ledger, oldest first. */
export async function ledgerRows(sql: pg.Client): Promise<LedgerRow[]> {
  const { rows } = await sql.query<LedgerRow>(
    "SELECT run_id::text, name, intent, state, previous, oid::text FROM public.tallyman_index_ledger ORDER BY started_at, name",
  );
  return rows;
}

/** A transaction that read from the table and is idle: a concurrent drop waits for it, a build and a renaming do not. */
export async function openReader(client: pg.Client): Promise<void> {
  await client.query("BEGIN");
  await client.query("SELECT FROM daily_usage_cache LIMIT 1");
}

/** Answers the backend that runs such a statement, once it waits for somebody. */
export function waiting(sql: pg.Client, statement: string): Promise<number> {
  return until(`waiting ${statement}`, async () => {
    const { rows } = await sql.query<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity
          WHERE datname = current_database() AND query LIKE $1 AND state = 'active' AND wait_event_type = 'Lock'`,
      [`${statement}%`],
    );
    return rows[0]?.pid;
  });
}

/** Waits until nobody of the keeper is connected, so that whatever a server went on with has ended. */
export function untilAlone(sql: pg.Client): Promise<true> {
  return until("end of the keeper's backends", async () => {
    const { rows } = await sql.query(
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'tallyman indexes%'`,
    );
    return rows.length === 0 ? true : undefined;
  });
}

/** Names of all indexes of the table with whether they are valid. */
export async function validity(sql: pg.Client): Promise<Record<string, boolean>> {
  const { rows } = await sql.query<{ name: string; valid: boolean }>(
    `SELECT c.relname AS name, i.indisvalid AS valid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
      WHERE i.indrelid = 'daily_usage_cache'::regclass AND NOT i.indisprimary ORDER BY 1`,
  );
  return Object.fromEntries(rows.map(({ name, valid }) => [name, valid]));
}
