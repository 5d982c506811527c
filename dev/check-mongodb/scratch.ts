import { randomBytes } from "node:crypto";
import type { Db, MongoClient } from "mongodb";
import { WorkFailedError } from "../../src/errors.ts";

/** A database that nobody has: all work of a check happens in it. */
export interface ScratchDatabase {
  readonly db: Db;
  readonly name: string;
  /** Drops it, with whatever is in it. */
  drop(): Promise<void>;
}

/**
 * Chooses the name of a new database. The database itself begins with its first collection.
 *
 * @throws WorkFailedError if the server has a database of that name
 */
export async function scratchDatabase(
  client: MongoClient,
  name = `tallyman_check_${randomBytes(6).toString("hex")}`,
): Promise<ScratchDatabase> {
  const db = client.db(name);
  const [found] = await db.listCollections({}, { nameOnly: true }).toArray();
  if (found) {
    throw new WorkFailedError(
      `The database ${name} exists, with the collection ${found.name}. Nothing was touched; run it again.`,
    );
  }
  return { db, name, drop: async () => void (await db.dropDatabase()) };
}
