/** Checks the indexes that a rebuild needs. They are found by their definition, not by name. */
import type { Db } from "mongodb";
import type { Pool } from "pg";
import { UsageError } from "../errors.ts";
import { servingOnMongo } from "./engines/mongo/required.ts";
import { servesOnPostgres } from "./engines/postgres/required.ts";
import type { Manifest, MongoIndex, PostgresIndex } from "./manifest/manifest.ts";

/** The names of the indexes in MongoDB that serve the required ones: collection -> declared name -> name in the database. */
export type ServingIndexes = ReadonlyMap<string, ReadonlyMap<string, string>>;

/** @throws UsageError that names the first required index that no usable one serves, and the fix */
export async function requireIndexes(manifest: Manifest, db: Db, pool: Pick<Pool, "query">): Promise<ServingIndexes> {
  const serving = new Map<string, ReadonlyMap<string, string>>();
  for (const [collection, indexes] of Object.entries(manifest.mongo ?? {})) {
    const required = indexes.filter((index) => index.required === true);
    if (required.length === 0) continue;
    const names = await servingOnMongo(db, collection, required);
    const missed = required.find(({ name }) => !names.has(name));
    if (missed) throw missing(collection, missed, ` ${JSON.stringify(Object.fromEntries(missed.keys))}`);
    serving.set(collection, names);
  }
  for (const [table, indexes] of Object.entries(manifest.postgres ?? {})) {
    for (const index of indexes) {
      if (index.required === true && !(await servesOnPostgres(pool, table, index))) throw missing(table, index, "");
    }
  }
  return serving;
}

function missing(target: string, index: MongoIndex | PostgresIndex, keys: string): UsageError {
  const belongs = "constraint" in index && index.constraint !== undefined;
  const fix = belongs
    ? "It belongs to a migration; run: tallyman migrate up"
    : "Where it is there, it is hidden, invalid, of another definition or still being built. Run: tallyman indexes ensure";
  return new UsageError(`${target} has no usable index${keys} as ${index.name} (${index.why}). ${fix}`);
}
