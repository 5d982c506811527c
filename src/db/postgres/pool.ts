import pg from "pg";
import { UnreachableError, UsageError } from "../../errors.ts";

export type Pool = pg.Pool;
/** A connection on which statements run: the pool's own choice, or one inside a transaction. */
export type Connection = Pick<pg.ClientBase, "query">;

/** Dates stay text: a JS Date would be local midnight. Other types come as pg gives them (int8 and numeric: text). */
const DATE_OID: number = pg.types.builtins.DATE;
const types: pg.CustomTypesConfig = {
  getTypeParser: (oid, format): ((value: string) => unknown) =>
    (oid as number) === DATE_OID
      ? (value) => value
      : (pg.types.getTypeParser(oid, format) as (value: string) => unknown),
};

/** The settings of every connection: sessions speak UTC and say who they are. */
export function connectionOptions(databaseUrl: string): pg.ClientConfig {
  return {
    connectionString: databaseUrl,
    application_name: "tallyman",
    connectionTimeoutMillis: 10_000,
    options: "-c TimeZone=UTC -c DateStyle=ISO,YMD", // whatever the database or the role says
    keepAlive: true,
    types,
  };
}

/** A pool of at most `max` connections; nothing connects before the first query. */
export function createPool(databaseUrl: string, max: number, onIdleError: (error: Error) => void): Pool {
  const pool = new pg.Pool({ ...connectionOptions(databaseUrl), max, idleTimeoutMillis: 30_000 });
  pool.on("error", onIdleError); // an idle connection that the server ended; the next query opens another
  return pool;
}

/**
 * Runs `work` in one transaction: committed when it returns, rolled back when it throws. A connection whose rollback
 * fails is closed rather than given back.
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
    await client.query("ROLLBACK").catch((rollbackError: unknown) => {
      broken = rollbackError as Error;
    });
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
  const { code, message } = error as { code?: string; message: string };
  if (code === "28P01" || code === "28000" || code === "3D000") {
    return new UsageError(`PostgreSQL refused the connection: ${message}. Check DATABASE_URL.`, { cause: error });
  }
  const reason = message || (error as AggregateError).errors?.map((inner: Error) => inner.message).join("; ") || code;
  return new UnreachableError(`PostgreSQL cannot be reached: ${reason}. Check DATABASE_URL and the server.`, {
    cause: error,
  });
}
