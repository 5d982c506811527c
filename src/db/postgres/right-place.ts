import { UsageError } from "../../errors.ts";
import type { Connection } from "./pool.ts";

interface Place {
  readonly own: string;
  /** are our tables, or a part of them, in the own schema? */
  readonly here: boolean;
  /** is the ledger of migrations there too? */
  readonly ledger: boolean;
  /** other schemas with a ledger of migrations */
  readonly others: readonly string[];
  /** those of them that this role may not use */
  readonly closed: readonly string[];
}

/**
 * Checks that the tables, if there are any, are where this session looks: a shared database has many schemas, and each
 * role and connection string may lead to another one.
 *
 * @throws UsageError that names the schema that has them, and how to lead the session there
 */
export async function requireRightPlace(connection: Connection): Promise<void> {
  const { rows } = await connection.query<Place>(
    `SELECT quote_ident(current_schema()) AS own, to_regclass('usage_meta') IS NOT NULL AS here,
            to_regclass('usage_migration') IS NOT NULL AS ledger,
            coalesce(array_agg(quote_ident(n.nspname) ORDER BY n.nspname) FILTER (WHERE n.nspname IS NOT NULL), '{}') AS others,
            coalesce(array_agg(quote_ident(n.nspname)) FILTER (WHERE NOT has_schema_privilege(n.oid, 'USAGE')), '{}') AS closed
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname <> current_schema()
      WHERE c.relname = 'usage_migration' AND c.relkind = 'r'`,
  );
  const [place] = rows;
  const other = place?.others[0];
  if (!place || other === undefined || place.ledger) return;
  const { own, here, closed } = place;
  if (here) {
    throw new UsageError(
      `The tables are in the schema ${own}, but the ledger of their migrations is in ${other}. Move it: ALTER TABLE ${other}.usage_migration SET SCHEMA ${own}`,
    );
  }
  if (closed.includes(other)) {
    throw new UsageError(
      `The tables are in the schema ${other}, which this role may not use. Let its owner run: GRANT USAGE ON SCHEMA ${other} TO <role>, and grant the tables`,
    );
  }
  throw new UsageError(
    `The tables are in the schema ${place.others.join(", ")}, and this session looks in ${own}. Lead it there: ALTER ROLE <role> SET search_path = ${other}, or add ?options=-c%20search_path%3D${encodeURIComponent(other)} to DATABASE_URL; a second set of tables is made by: tallyman migrate up --new`,
  );
}
