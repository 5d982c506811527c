/** A table of 24 months for the tests of partitioned tables: two levels in one month, a default partition. */
import type pg from "pg";
import type { Manifest, PostgresIndex } from "../../../src/indexes/manifest/manifest.ts";

export const MONTHS = 24;
export const EVENTS_TABLE = "public.events";

/** A manifest of indexes on the partitioned table. */
export function onEvents(...indexes: readonly Partial<PostgresIndex>[]): Manifest {
  const postgres = indexes.map((index) => ({ name: "by_kind", why: "test", columns: ["kind", "day"], ...index }));
  return { version: 1, project: "test", postgres: { [EVENTS_TABLE]: postgres } };
}

/** `events_01` to `events_24`, of which `events_02` has partitions of its own, and `events_rest`, the default. */
export async function makeEvents(sql: pg.Client, rows: number): Promise<void> {
  // With those that a test detached.
  await sql.query(`
    DO $$ DECLARE old text; BEGIN
      FOR old IN SELECT oid::regclass FROM pg_class
                  WHERE relnamespace = 'public'::regnamespace AND relname LIKE 'events%' AND relkind IN ('r', 'p') AND NOT relispartition
      LOOP EXECUTE 'DROP TABLE ' || old; END LOOP;
    END $$`);
  await sql.query(
    "CREATE TABLE events (id bigint, day date NOT NULL, kind text, tenant text) PARTITION BY RANGE (day)",
  );
  for (let month = 1; month <= MONTHS; month += 1) {
    const bounds = `FOR VALUES FROM ('${first(month)}') TO ('${first(month + 1)}')`;
    const split = month === 2 ? "PARTITION BY LIST (kind)" : "WITH (autovacuum_enabled = off)";
    await sql.query(`CREATE TABLE ${partition(month)} PARTITION OF events ${bounds} ${split}`);
  }
  await sql.query(`
    CREATE TABLE events_02_a PARTITION OF events_02 FOR VALUES IN ('a') WITH (autovacuum_enabled = off);
    CREATE TABLE events_02_rest PARTITION OF events_02 DEFAULT WITH (autovacuum_enabled = off);
    CREATE TABLE events_rest PARTITION OF events DEFAULT WITH (autovacuum_enabled = off)`);
  await sql.query(
    `INSERT INTO events SELECT g, date '2026-01-01' + g % 740, chr(97 + g % 26), 'tenant ' || g % 50 FROM generate_series(1, $1::int) g`,
    [rows],
  );
}

export function partition(month: number): string {
  return `events_${String(month).padStart(2, "0")}`;
}

function first(month: number): string {
  return new Date(Date.UTC(2026, month - 1, 1)).toISOString().slice(0, 10);
}
