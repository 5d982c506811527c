import { MongoClient, MongoError, MongoParseError, MongoServerError, type Collection, type Db } from "mongodb";
import { isConnectionLoss, UnreachableError, UsageError } from "../../errors.ts";
import { redact } from "../../redact.ts";
import type { FieldMap } from "../../usage/event.ts";
import { tenantDateIndex } from "./pipeline.ts";

/** Connects, and proves by a ping that the server answers. The database is the path of the connection string. */
export async function connectMongo(uri: string): Promise<{ client: MongoClient; db: Db }> {
  let client: MongoClient | undefined;
  try {
    client = new MongoClient(uri, {
      appName: "tallyman",
      serverSelectionTimeoutMS: 10_000,
      connectTimeoutMS: 10_000,
      enableUtf8Validation: false, // invalid UTF-8 becomes U+FFFD; one bad event must not fail a day
      retryReads: true,
    });
    await client.connect();
    const db = client.db();
    await db.command({ ping: 1 });
    return { client, db };
  } catch (error) {
    await client?.close().catch(() => undefined);
    throw mongoError(error, uri);
  }
}

function mongoError(error: unknown, uri: string): Error {
  const { message } = error as Error;
  const isRefused = error instanceof MongoServerError && [13, 18, 8000].includes(Number(error.code));
  if (isRefused || error instanceof MongoParseError || !(error instanceof MongoError || isConnectionLoss(error))) {
    return new UsageError(`MongoDB refused ${redact(uri)}: ${message}. Check MONGODB_URI.`, { cause: error });
  }
  return new UnreachableError(
    `MongoDB cannot be reached at ${redact(uri)}: ${message}. Check MONGODB_URI and the server.`,
    {
      cause: error,
    },
  );
}

/** @throws UsageError when the collection, or the index that every read hints at (whatever its name), is not there */
export async function requireTenantDateIndex(collection: Collection, fields: FieldMap): Promise<void> {
  const wanted = JSON.stringify(Object.entries(tenantDateIndex(fields)));
  let indexes: {
    key: Record<string, unknown>;
    partialFilterExpression?: unknown;
    collation?: unknown;
    sparse?: unknown;
  }[];
  try {
    indexes = await collection.indexes();
  } catch (error) {
    if (!(error instanceof MongoServerError) || Number(error.code) !== 26) throw error;
    throw new UsageError(
      `The database ${collection.dbName} has no collection ${collection.collectionName}. Check the path of MONGODB_URI ` +
        "and EVENTS_COLLECTION; if they are right and no event is stored yet, run: tallyman indexes ensure",
    );
  }
  const isWhole = (index: (typeof indexes)[number]) =>
    !index.partialFilterExpression && !index.collation && !index.sparse;
  if (indexes.some((index) => JSON.stringify(Object.entries(index.key)) === wanted && isWhole(index))) return;
  throw new UsageError(
    `${collection.collectionName} has no index ${JSON.stringify(tenantDateIndex(fields))}, which every read goes through. ` +
      "Run: tallyman indexes ensure",
  );
}
