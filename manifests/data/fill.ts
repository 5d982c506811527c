/** Sample data: what each manifest's system would store, for measuring its indexes and for showing them. */
import type { Db, Document } from "mongodb";
import type { Client } from "pg";
import { Chance } from "./random.ts";

/** The databases to fill; an engine that is not given is left out. */
export interface SampleTarget {
  readonly mongo?: Db;
  readonly sql?: Client;
}

/** What a document depends on, apart from its number. */
export interface SampleShape {
  /** documents of a main collection, rows of a main table; other collections and tables have a share of that */
  readonly rows: number;
  readonly seed: number;
  /** all times in the data are before this start of a day */
  readonly today: Date;
}

export interface SampleCollection {
  /** number of its documents for each of `rows` */
  readonly share: number;
  /** @param n number of the document, from 0; beyond the share for documents that are added later */
  readonly make: (n: number, chance: Chance, shape: SampleShape) => Document;
}

export interface SampleTable {
  readonly share: number;
  /**
   * `INSERT ... SELECT` with $1 and $2 the first and last number (bigint), $3 the shape's rows, $4 the seed, $5 today.
   */
  readonly insert: string;
}

export interface SampleData {
  readonly collections: Readonly<Record<string, SampleCollection>>;
  /** By table, in the order to fill. */
  readonly tables: Readonly<Record<string, SampleTable>>;
  /** Creates the tables without the manifest's indexes; tables of migrations must exist. */
  prepare(target: SampleTarget): Promise<void>;
}

const BATCH = 5_000;
const PART = 1_000;

/** Fills every collection and table. The same rows, seed and day give the same data. */
export async function fill(
  data: SampleData,
  target: SampleTarget,
  rows: number,
  seed = 1,
  now = new Date(),
): Promise<void> {
  const shape = { rows, seed, today: new Date(Math.floor(now.getTime() / 86_400_000) * 86_400_000) };
  for (const name of Object.keys(target.mongo ? data.collections : {})) {
    await add(data, target, name, { ...shape, from: 0, count: countOf(data, name, rows) });
  }
  for (const name of Object.keys(target.sql ? data.tables : {})) {
    await add(data, target, name, { ...shape, from: 0, count: countOf(data, name, rows) });
    await target.sql?.query(`ANALYZE ${name}`);
  }
}

/** The number of documents or rows that `fill` inserts. */
export function countOf(data: SampleData, name: string, rows: number): number {
  return Math.max(1, Math.round((data.collections[name]?.share ?? data.tables[name]?.share ?? 0) * rows));
}

/** Adds documents or rows from a number on. */
export async function add(
  data: SampleData,
  { mongo, sql }: SampleTarget,
  name: string,
  { from, count, ...shape }: SampleShape & { readonly from: number; readonly count: number },
): Promise<void> {
  const collection = data.collections[name];
  if (collection && mongo) {
    for (let first = from; first < from + count; first += BATCH) {
      const length = Math.min(BATCH, from + count - first);
      await mongo.collection(name).insertMany(documents(collection, name, first, length, shape), { ordered: false });
    }
  }
  const table = data.tables[name];
  if (table && sql) {
    // In parts: the planner takes every series for a thousand rows, and plans badly for more.
    for (let first = from; first < from + count; first += PART) {
      const last = Math.min(first + PART, from + count) - 1;
      await sql.query(table.insert, [first, last, shape.rows, shape.seed, shape.today]);
    }
  }
}

/** Documents by their numbers. */
export function documents(
  { make }: SampleCollection,
  name: string,
  from: number,
  count: number,
  shape: SampleShape,
): Document[] {
  return Array.from({ length: count }, (_, i) => make(from + i, new Chance(shape.seed, name, from + i), shape));
}

const DAY_MS = 86_400_000;

/** The start of a day, so many days before today. */
export function daysBefore({ today }: SampleShape, days: number): Date {
  return new Date(today.getTime() - days * DAY_MS);
}

/** A moment of the last `days` days. */
export function momentWithin({ today }: SampleShape, days: number, chance: Chance): Date {
  return new Date(today.getTime() - chance.below(days * DAY_MS));
}
