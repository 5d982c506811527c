/** Checks the indexes that a rebuild needs. They are found by their definition, not by name. */
import type { Db } from "mongodb";
import type { Pool } from "pg";
import { UsageError } from "../errors.ts";
import { missingOnMongo } from "./engines/mongo/required.ts";
import { servesOnPostgres } from "./engines/postgres/required.ts";
import type { Manifest, MongoIndex, PostgresIndex } from "./manifest/manifest.ts";

/** @throws UsageError that names the first required index that is missing, hidden or invalid, and the fix */
export async function requireIndexes(manifest: Manifest, db: Db, pool: Pick<Pool, "query">): Promise<void> {
  for (const [collection, indexes] of Object.entries(manifest.mongo ?? {})) {
    const required = indexes.filter((index) => index.required === true);
    if (required.length === 0) continue;
    const [first] = await missingOnMongo(db, collection, required);
    if (first) throw missing(collection, first, ` ${JSON.stringify(Object.fromEntries(first.keys))}`);
  }
  for (const [table, indexes] of Object.entries(manifest.postgres ?? {})) {
    for (const index of indexes) {
      if (index.required === true && !(await servesOnPostgres(pool, table, index))) throw missing(table, index, "");
    }
  }
}

function missing(target: string, index: MongoIndex | PostgresIndex, keys: string): UsageError {
  const belongs = "constraint" in index && index.constraint !== undefined;
  const fix = belongs ? "It belongs to a migration; run: tallyman migrate up" : "Run: tallyman indexes ensure";
  return new UsageError(`${target} has no usable index${keys} as ${index.name} (${index.why}). ${fix}`);
}
