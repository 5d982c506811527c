import type { Pool } from "pg";
import type { PostgresIndex } from "../../manifest/manifest.ts";
import { tableOf } from "./ddl.ts";

/** Is there a valid index without a predicate with exactly these key columns, whatever its name? */
export async function servesOnPostgres(
  pool: Pick<Pool, "query">,
  target: string,
  index: PostgresIndex,
): Promise<boolean> {
  const { schema, table } = tableOf(target);
  const columns = index.columns.map((column) => (typeof column === "string" ? column : column.col));
  const isUnique = index.unique === true || index.constraint !== undefined;
  const { rows } = await pool.query<{ serves: boolean }>(SERVES, [schema, table, columns, isUnique]);
  return rows[0]?.serves === true;
}

const SERVES = `
  SELECT EXISTS (
    SELECT FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
     WHERE n.nspname = $1 AND t.relname = $2 AND i.indisvalid AND i.indisready AND i.indpred IS NULL
       AND (i.indisunique OR NOT $4::boolean)
       AND (SELECT array_agg(a.attname::text ORDER BY k.at)
              FROM unnest(i.indkey::int[]) WITH ORDINALITY k(number, at)
              JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.number
             WHERE k.at <= i.indnkeyatts) = $3::text[]) AS serves`;
