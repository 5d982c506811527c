/** The indexes without which a rebuild would be wrong or hopeless: looked for by what they do, whatever their names. */
import { MongoServerError, type Db } from "mongodb";
import type { Pool } from "pg";
import { UsageError } from "../errors.ts";
import type { Manifest, MongoIndex, PostgresIndex } from "./manifest/manifest.ts";
import { mongoForm, mongoSpec } from "./engines/mongo/normal-form.ts";
import { tableOf } from "./engines/postgres/ddl.ts";

const NAMESPACE_NOT_FOUND = 26;
/** An index that is alike in these serves the same reads; a unique one, or one with a TTL, serves them as well. */
const SERVING = ["keys", "collation", "partial", "sparse", "hidden"] as const;

/** @throws UsageError that names the first required index that is missing, hidden or invalid, and the fix */
export async function requireIndexes(manifest: Manifest, db: Db, pool: Pick<Pool, "query">): Promise<void> {
  for (const [collection, indexes] of Object.entries(manifest.mongo ?? {})) {
    const required = indexes.filter((index) => index.required === true);
    if (required.length > 0) await requireMongo(db, collection, required);
  }
  for (const [table, indexes] of Object.entries(manifest.postgres ?? {})) {
    for (const index of indexes) {
      if (index.required === true && !(await servesPostgres(pool, table, index))) throw missing(table, index, "");
    }
  }
}

async function requireMongo(db: Db, collection: string, required: readonly MongoIndex[]): Promise<void> {
  let specs: Record<string, unknown>[];
  try {
    specs = (await db.collection(collection).listIndexes().toArray()) as Record<string, unknown>[];
  } catch (error) {
    if (!(error instanceof MongoServerError) || Number(error.code) !== NAMESPACE_NOT_FOUND) throw error;
    throw new UsageError(
      `The database ${db.databaseName} has no collection ${collection}. Check the path of MONGODB_URI ` +
        "and EVENTS_COLLECTION; if they are right and no event is stored yet, run: tallyman indexes ensure",
    );
  }
  const forms = specs.map((spec) => mongoForm(spec));
  for (const index of required) {
    const wanted = mongoForm(mongoSpec(index));
    if (forms.some((form) => SERVING.every((part) => form[part] === wanted[part]))) continue;
    throw missing(collection, index, ` ${JSON.stringify(Object.fromEntries(index.keys))}`);
  }
}

async function servesPostgres(pool: Pick<Pool, "query">, target: string, index: PostgresIndex): Promise<boolean> {
  const { schema, table } = tableOf(target);
  const columns = index.columns.map((column) => (typeof column === "string" ? column : column.col));
  const isUnique = index.unique === true || index.constraint !== undefined;
  const { rows } = await pool.query<{ serves: boolean }>(SERVES, [schema, table, columns, isUnique]);
  return rows[0]?.serves === true;
}

function missing(target: string, index: MongoIndex | PostgresIndex, keys: string): UsageError {
  const belongs = "constraint" in index && index.constraint !== undefined;
  const fix = belongs ? "It belongs to a migration; run: tallyman migrate up" : "Run: tallyman indexes ensure";
  return new UsageError(`${target} has no usable index${keys} as ${index.name} (${index.why}). ${fix}`);
}

const SERVES = `
  SELECT EXISTS (
    SELECT FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
     WHERE n.nspname = $1 AND t.relname = $2 AND i.indisvalid AND i.indisready AND i.indpred IS NULL
       AND (i.indisunique OR NOT $4::boolean)
       AND (SELECT array_agg(a.attname::text ORDER BY k.at)
              FROM unnest(i.indkey::int[]) WITH ORDINALITY k(number, at)
              JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.number
             WHERE k.at <= i.indnkeyatts) = $3::text[]) AS serves`;
