import pg from "pg";
import { isLostForWrites, UnreachableError, UsageError } from "../../errors.ts";
import { clientOptions } from "../../postgres/client-options.ts";
import { prepareSession } from "./prepare-session.ts";
import { types } from "./values.ts";

export type Pool = pg.Pool;
/** A connection on which statements run: the pool's own choice, or one inside a transaction. */
export type Connection = Pick<pg.ClientBase, "query">;

/** A statement that takes longer waits for a server that no longer works on it. */
const QUERY_LIMIT_MS = 2 * 60_000;

/** The settings of every connection. */
export function connectionOptions(databaseUrl: string): pg.ClientConfig {
  return { ...clientOptions(databaseUrl, "tallyman"), types };
}

/** A pool of at most `max` connections; nothing connects before the first query. */
export function createPool(databaseUrl: string, max: number, onIdleError: (error: Error) => void): Pool {
  const pool = new pg.Pool({
    ...connectionOptions(databaseUrl),
    max,
    query_timeout: QUERY_LIMIT_MS,
    idleTimeoutMillis: 30_000,
    // eslint-disable-next-line @typescript-eslint/no-misused-promises -- the pool waits for it, whatever its types say
    onConnect: (client) => prepareSession(client),
  });
  pool.on("error", onIdleError); // an idle connection that the server ended; the next query opens another
  return pool;
}

/**
 * Runs `work` in one transaction: committed when it returns, rolled back when it throws. A connection that was lost, or
 * leads to a server that takes no writes, is closed rather than given back.
 */
export async function inTransaction<T>(pool: Pool, work: (connection: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  // The pool listens to idle connections alone, and one that is lost between two statements would end the process.
  const onLost = (error: Error) => (broken = error);
  client.on("error", onLost);
  try {
    await client.query("BEGIN ISOLATION LEVEL READ COMMITTED"); // what the locks are written for
    const result = await work(client);
    await client.query("COMMIT");
    return result;
  } catch (error) {
    if (isLostForWrites(error)) broken = error as Error;
    else {
      await client.query("ROLLBACK").catch((rollbackError: unknown) => {
        broken = rollbackError as Error;
      });
    }
    throw error;
  } finally {
    client.off("error", onLost);
    client.release(broken);
  }
}

/** Checks that the server answers, and says in one line what is wrong when it does not. */
export async function pingPostgres(pool: Pool): Promise<void> {
  try {
    await pool.query("SELECT 1");
  } catch (error) {
    throw postgresError(error);
  }
}

/** An error of a first connection as the operator should read it. */
export function postgresError(error: unknown): Error {
  if (error instanceof UnreachableError || error instanceof UsageError) return error;
  const { code, message } = error as { code?: string; message: string };
  if (code === "28P01" || code === "28000" || code === "3D000") {
    return new UsageError(`PostgreSQL refused the connection: ${message}. Check DATABASE_URL.`, { cause: error });
  }
  const reason = message || (error as AggregateError).errors?.map((inner: Error) => inner.message).join("; ") || code;
  return new UnreachableError(`PostgreSQL cannot be reached: ${reason}. Check DATABASE_URL and the server.`, {
    cause: error,
  });
}
