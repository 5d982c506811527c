import {
  MongoClient,
  MongoError,
  MongoNetworkTimeoutError,
  MongoParseError,
  MongoServerError,
  ReadPreference,
  type Db,
  type Document,
  type MongoClientOptions,
} from "mongodb";
import { isConnectionLoss, UnreachableError, UsageError } from "../../errors.ts";
import { redact } from "../../redact.ts";

/** Options of every client. The driver's default waits 30 s for a server, and 30 s for a connection. */
export const CLIENT_OPTIONS = {
  appName: "tallyman",
  serverSelectionTimeoutMS: 10_000,
  connectTimeoutMS: 10_000,
  // A backstop for a server whose monitor answers: reads have shorter limits, and a build of an index takes hours.
  socketTimeoutMS: 13 * 60 * 60_000,
  enableUtf8Validation: false, // invalid UTF-8 becomes U+FFFD; one bad event must not fail a day
  retryReads: true,
  // The catalog, lists of tenants and spans must not come from a member that is behind, whatever the URI prefers.
  readPreference: ReadPreference.primary,
  readPreferenceTags: [],
} as const satisfies MongoClientOptions;

/** Connects and pings the server. The database is the path of the connection string. */
export async function connectMongo(uri: string): Promise<{ client: MongoClient; db: Db }> {
  let client: MongoClient | undefined;
  try {
    client = new MongoClient(uri, CLIENT_OPTIONS);
    await client.connect();
    const db = client.db();
    await within(db, { ping: 1 });
    renewWhenLost(client);
    return { client, db };
  } catch (error) {
    await client?.close().catch(() => undefined);
    throw mongoError(error, uri);
  }
}

/** A server that says nothing for so long is away. */
const PING_MS = 10_000;

/**
 * Asks for a sign of life, and whether the server is one to read from: a connection string that names one member
 * directly leads to it whatever it has become, and the driver then reads from it.
 *
 * @throws MongoNetworkTimeoutError where it gives no sign in time
 * @throws UnreachableError where it is not the primary
 */
export async function requirePrimary(db: Db): Promise<void> {
  const hello = await within(db, { hello: 1 });
  if (hello["isWritablePrimary"] !== false) return;
  throw new UnreachableError(
    `MONGODB_URI leads to ${hello["me"] ?? "a member"}, which is not the primary, so it may lack events. ` +
      "Name the replica set in it (replicaSet=...), without directConnection.",
  );
}

/** @throws MongoNetworkTimeoutError where the server gives no sign of life in time */
async function within(db: Db, command: Document): Promise<Document> {
  const limit = AbortSignal.timeout(PING_MS);
  try {
    return await db.command(command, { signal: limit });
  } catch (error) {
    if (!limit.aborted) throw error;
    throw new MongoNetworkTimeoutError(`the server has not answered for ${PING_MS / 1_000} seconds`, {
      cause: error as Error,
    });
  }
}

/** A client that never connects, for work that needs a database object but sends it no query. */
export function unconnectedMongo(): { client: MongoClient; db: Db } {
  const client = new MongoClient("mongodb://unused.invalid");
  return { client, db: client.db() };
}

/** Longer than the driver needs to notice that a server is back. */
const LOST_MS = 20_000;

/**
 * Reconnects if no server was found for a while. The driver's monitor may wait for ever for a reply on a connection
 * that closed while it asked (7.8.0, a server stopped during a read); then the process never finds its server again,
 * although the server is back. Running operations fail, as they would have anyway, and are tried again.
 */
function renewWhenLost(client: MongoClient): void {
  let timer: NodeJS.Timeout | undefined;
  let isLost = false;
  let isRenewing = false;
  let isClosed = false;
  const renew = async () => {
    if (isRenewing) return;
    isRenewing = true;
    try {
      await client.close();
      await client.connect();
    } catch {
      // The server really is away; the next operation, or the next turn, connects.
    }
    isRenewing = false;
    if (isClosed) await client.close();
    else watch();
  };
  const watch = () => {
    clearTimeout(timer);
    timer = isLost ? setTimeout(() => void renew(), LOST_MS).unref() : undefined;
  };
  client.on("topologyDescriptionChanged", ({ newDescription }) => {
    const types = Array.from(newDescription.servers.values(), ({ type }) => type);
    if (types.length === 0) return; // closed
    const wasLost = isLost;
    isLost = types.every((type) => type === "Unknown");
    if (isLost !== wasLost) watch();
  });
  client.on("topologyClosed", () => {
    if (isRenewing) return;
    isClosed = true;
    isLost = false;
    watch();
  });
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
