/** Measures the cost of the indexes for writes, and their size. */
import type { Db } from "mongodb";
import type pg from "pg";
import { add, type SampleData, type SampleShape } from "../../manifests/data/fill.ts";

export interface Writes {
  /** milliseconds for a batch of new documents or rows */
  readonly insert: number;
  /** milliseconds for updating as many, in a field without an index */
  readonly update: number;
}

export interface Sizes {
  readonly data: number;
  /** by name */
  readonly indexes: Readonly<Record<string, number>>;
}

/** Size of a batch; smaller for the cache, whose rows hold documents of at least twenty users. */
export const batchOf = (target: string) => (tableOf(target) === "daily_usage_cache" ? 100 : 1_000);
const ROUNDS = 7;

interface Place {
  readonly data: SampleData;
  readonly target: string;
  readonly mongo: Db;
  readonly sql: pg.Client;
  readonly shape: SampleShape;
}

/** Inserts and updates a few batches, then deletes the inserted ones. @param from the first free number */
export async function measureWrites(place: Place, from: number): Promise<Writes> {
  const { data, target, mongo, sql, shape } = place;
  const table = tableOf(target);
  const isTable = table in data.tables;
  const inserts: number[] = [];
  const updates: number[] = [];
  const batch = batchOf(target);
  for (let round = 0; round <= ROUNDS; round += 1) {
    const first = from + round * batch;
    const insert = await timed(() =>
      add(data, { mongo, sql }, isTable ? table : target, { ...shape, from: first, count: batch }),
    );
    const update = isTable
      ? await updateRows(sql, table, round, batch)
      : await updateDocuments(mongo, target, round, batch);
    if (round === 0) continue; // the first fills caches
    inserts.push(insert);
    updates.push(update);
  }
  return { insert: shortest(inserts), update: shortest(updates) };
}

/** Updates scattered documents; the field is in no index and has a fixed length. */
async function updateDocuments(mongo: Db, name: string, round: number, batch: number): Promise<number> {
  const collection = mongo.collection(name);
  const some = await collection
    .find({}, { projection: { _id: 1 }, sort: { _id: 1 }, skip: round * batch, limit: batch })
    .toArray();
  const filter = { _id: { $in: some.map(({ _id }) => _id) } };
  return timed(() => collection.updateMany(filter, { $set: { touched: round } }));
}

async function updateRows(sql: pg.Client, table: string, round: number, batch: number): Promise<number> {
  const { rows } = await sql.query<{ ctids: string[] }>(
    `SELECT array_agg(ctid::text) AS ctids FROM (SELECT ctid FROM ${table} OFFSET $1 LIMIT $2) AS part`,
    [round * batch, batch],
  );
  // In the cache the columns that the worker replaces, documents and time; elsewhere a column without an index.
  const column = table === "daily_usage_cache" ? undefined : `"${await anyColumn(sql, table)}"`;
  const change =
    column === undefined
      ? "cached_at = cached_at + interval '1 second', raw_data = raw_data || '{}', aggregated_by_user = aggregated_by_user || '{}', " +
        "aggregated_by_model = aggregated_by_model || '{}', aggregated_by_provider = aggregated_by_provider || '{}'"
      : `${column} = ${column}`;
  return timed(() => sql.query(`UPDATE ${table} SET ${change} WHERE ctid = ANY ($1::tid[])`, [rows[0]?.ctids ?? []]));
}

/** The last column without an index: a payload or a text. */
async function anyColumn(sql: pg.Client, table: string): Promise<string> {
  const { rows } = await sql.query<{ name: string }>(
    `SELECT attname AS name FROM pg_attribute a WHERE attrelid = $1::regclass AND attnum > 0 AND NOT EXISTS (
       SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND a.attnum = ANY (i.indkey)) ORDER BY attnum DESC LIMIT 1`,
    [table],
  );
  return rows[0]?.name ?? "id";
}

export async function measureSizes({ data, target, mongo, sql }: Omit<Place, "shape">): Promise<Sizes> {
  if (tableOf(target) in data.tables) {
    const { rows } = await sql.query<{ name: string; bytes: number; table: number }>(
      `SELECT c.relname AS name, pg_relation_size(c.oid)::float8 AS bytes, pg_table_size(i.indrelid)::float8 AS table
         FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1::regclass`,
      [tableOf(target)],
    );
    return { data: rows[0]?.table ?? 0, indexes: Object.fromEntries(rows.map(({ name, bytes }) => [name, bytes])) };
  }
  const stats = (await mongo.command({ collStats: target })) as {
    storageSize: number;
    indexSizes: Record<string, number>;
  };
  return { data: stats.storageSize, indexes: stats.indexSizes };
}

/** The name of a table in `SAMPLE_DATA`: without schema, quoted where necessary. */
function tableOf(target: string): string {
  const name = target.replace(/^public\./, "");
  return /^[a-z_]+$/.test(name) ? name : `"${name}"`;
}

export async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

/** The shortest time, since everything else on the machine can only add to it. */
export function shortest(values: readonly number[]): number {
  return Math.min(...values);
}
