/** Looks for duplicates before a unique index is built: a build that fails on them has read the whole table twice. */
import pg from "pg";
import type { PostgresIndex } from "../../manifest/manifest.ts";
import { parenthesised } from "../../manifest/sql-text.ts";
import { tableOf } from "./ddl.ts";
import type { IndexSession } from "./session.ts";

const SAMPLES = 5;
const PROBE_TIMEOUT = "60s";
const QUERY_CANCELED = "57014";

/** @returns some keys that several rows have, for a person; undefined without any, or if the search takes too long */
export async function findDuplicates(
  session: IndexSession,
  target: string,
  index: PostgresIndex,
): Promise<string | undefined> {
  if (index.unique !== true) return undefined;
  const keys = index.columns.map((column) => {
    if (typeof column === "string") return pg.escapeIdentifier(column);
    return column.col === undefined ? parenthesised(column.expr) : pg.escapeIdentifier(column.col);
  });
  const names = index.columns.map((column) => (typeof column === "string" ? column : (column.col ?? column.expr)));
  const conditions = index.nullsNotDistinct === true ? [] : keys.map((key) => `${key} IS NOT NULL`);
  if (index.where !== undefined) conditions.push(parenthesised(index.where));
  const where = conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")}`;
  await session.query("BEGIN READ ONLY");
  try {
    await session.query(`SET LOCAL statement_timeout = '${PROBE_TIMEOUT}'`);
    const rows = await session.query<{ key: string[]; count: string }>(`
      SELECT ARRAY[${keys.map((key) => `left(${key}::text, 80)`).join(", ")}] AS key, count(*)::text AS count
        FROM ${tableOf(target).quoted} ${where} GROUP BY ${keys.join(", ")} HAVING count(*) > 1 LIMIT ${SAMPLES}`);
    if (rows.length === 0) return undefined;
    const samples = rows.map(({ key, count }) => `(${key.map((value) => value ?? "null").join(", ")}) ${count} times`);
    return `not unique: (${names.join(", ")}) occurs as ${samples.join(", ")}. Remove the extra rows and run this again.`;
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === QUERY_CANCELED) return undefined;
    throw error;
  } finally {
    await session.query("ROLLBACK").catch(() => undefined);
  }
}
