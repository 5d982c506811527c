import type pg from "pg";
import { UsageError } from "../../../errors.ts";
import { OWN_SCHEMA } from "../../../postgres/own-schema.ts";
import { FORMER_SCHEMA, OWN_TABLE } from "../../manifest/reserved.ts";

/** The keeper's own tables in a PostgreSQL database, each as a quoted name with its schema. */
export interface OwnTables {
  /** quoted */
  readonly schema: string;
  readonly ledger: string;
  readonly journal: string;
  readonly samples: string;
  readonly reports: string;
}

/**
 * Finds where the keeper's tables are, or will be made: in the one schema of all of Tallyman's tables. A database that an
 * earlier version worked in has them in a schema of their own, where they stay.
 *
 * @throws UsageError where this role may use no schema of its search_path
 */
export async function findOwnTables(sql: Pick<pg.ClientBase, "query">): Promise<OwnTables> {
  const { rows } = await sql.query<{ schema: string | null; isFormer: boolean }>(
    `SELECT ${OWN_SCHEMA} AS schema,
            EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                     WHERE n.nspname = $1 AND c.relname LIKE 'index\\_%' AND c.relkind = 'r') AS "isFormer"`,
    [FORMER_SCHEMA],
  );
  const isFormer = rows[0]?.isFormer === true;
  const schema = isFormer ? FORMER_SCHEMA : rows[0]?.schema;
  if (!schema) {
    throw new UsageError(
      "No schema of this role's search_path exists, or it may use none, so there is no place for the index ledger. Let an owner run: CREATE SCHEMA tallyman AUTHORIZATION <the role of index work>; ALTER ROLE <the role> SET search_path = tallyman",
    );
  }
  const table = (name: string) => `${schema}.${isFormer ? "" : OWN_TABLE}${name}`;
  return {
    schema,
    ledger: table("index_ledger"),
    journal: table("index_reindex"),
    samples: table("index_sample"),
    reports: table("index_report"),
  };
}
