import { randomBytes } from "node:crypto";
import type { Db, MongoClient } from "mongodb";
import { UsageError, WorkFailedError } from "../../src/errors.ts";
import { serverCode } from "../../src/mongo/errors.ts";

const UNAUTHORIZED = 13;

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
 * @throws WorkFailedError if the server has a database of that name, and of `drop` if the server does not drop it
 * @throws UsageError if the user may not work in it
 */
export async function scratchDatabase(
  client: MongoClient,
  name = `tallyman_check_${randomBytes(6).toString("hex")}`,
): Promise<ScratchDatabase> {
  const db = client.db(name);
  const [found] = await db
    .listCollections({}, { nameOnly: true })
    .toArray()
    .catch((error: unknown) => {
      if (serverCode(error) !== UNAUTHORIZED) throw error;
      throw new UsageError(
        `The user of this connection string may not work in a new database: ${(error as Error).message}. Nothing was ` +
          "touched. Grant it readWriteAnyDatabase, dbAdminAnyDatabase and clusterMonitor on admin, or name another user.",
        { cause: error },
      );
    });
  if (found) {
    throw new WorkFailedError(
      `The database ${name} exists, with the collection ${found.name}. Nothing was touched; run it again.`,
    );
  }
  return {
    db,
    name,
    async drop() {
      await db.dropDatabase().catch((error: unknown) => {
        throw new WorkFailedError(
          `The database ${name} was not dropped: ${(error as Error).message}. Drop it by hand.`,
          { cause: error },
        );
      });
    },
  };
}
