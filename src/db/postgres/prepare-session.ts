import type pg from "pg";
import { UnreachableError, UsageError } from "../../errors.ts";
import { OWN_SCHEMA } from "../../postgres/own-schema.ts";

/**
 * A transaction of ours never waits for its client so long; one that does belongs to a process that is frozen, or whose
 * machine is gone, and may hold locks that others wait for.
 */
const IDLE_IN_TRANSACTION = "20s";
/** A long statement notices within this time that its client is gone. Linux servers alone can. */
const CLIENT_CHECK = "10s";

interface Prepared {
  readonly standby: boolean;
  readonly schema: string | null;
  readonly path: string;
}

/**
 * Prepares a new session: checks that it can write, bounds how long it may hold anything, and leads every name to the one
 * schema with our tables. Limits that the user has set for the database, the role or in the connection string stay.
 *
 * @param idleLimit after so long without a statement the server ends the session; "0" = never (PostgreSQL 14 and later)
 * @throws UnreachableError where the server is a standby
 * @throws UsageError where the search_path names no schema that exists
 */
export async function prepareSession(client: Pick<pg.ClientBase, "query">, idleLimit = "0"): Promise<void> {
  const { rows } = await client.query<Prepared>(
    `SELECT pg_is_in_recovery() AS standby, path.before AS path, own.schema,
            set_config('search_path', own.schema || ', pg_temp', false),
            CASE WHEN current_setting('idle_in_transaction_session_timeout') = '0'
                 THEN set_config('idle_in_transaction_session_timeout', $1, false) END,
            CASE WHEN current_setting('idle_session_timeout', true) IS NOT NULL
                 THEN set_config('idle_session_timeout', $2, false) END,
            CASE WHEN current_setting('client_connection_check_interval', true) = '0' AND version() ~ 'linux'
                 THEN set_config('client_connection_check_interval', $3, false) END
       FROM (SELECT current_setting('search_path') AS before) AS path, (SELECT ${OWN_SCHEMA} AS schema) AS own`,
    [IDLE_IN_TRANSACTION, idleLimit, CLIENT_CHECK],
  );
  const [{ standby, schema, path } = { standby: false, schema: null, path: "" }] = rows;
  if (standby) {
    throw new UnreachableError(
      "DATABASE_URL leads to a standby of PostgreSQL, which takes no writes. Lead it to the primary.",
    );
  }
  if (schema === null) {
    throw new UsageError(
      `No schema of the search_path (${path}) exists, or this role may use none. Create one and grant it: CREATE SCHEMA tallyman AUTHORIZATION <role>; ALTER ROLE <role> SET search_path = tallyman`,
    );
  }
}

/** The schema with our tables, of a session that prepareSession() has prepared. */
export async function ownSchema(connection: Pick<pg.ClientBase, "query">): Promise<string> {
  const { rows } = await connection.query<{ schema: string }>("SELECT current_schema() AS schema");
  return (rows[0] as { schema: string }).schema;
}
