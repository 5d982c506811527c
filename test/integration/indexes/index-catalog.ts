import type pg from "pg";

/** One index with everything that hangs on it, but for its identity: equal where nothing was lost. */
export interface CatalogRow {
  readonly table: string;
  readonly name: string;
  readonly definition: string;
  readonly valid: boolean;
  /** the partitioned index that it is attached to */
  readonly parent: string | null;
  readonly comment: string | null;
  /** statistics target by column */
  readonly statistics: Readonly<Record<string, number>> | null;
  readonly clustered: boolean;
  readonly tablespace: string | null;
}

/** Every index of the schema public, without those of the keeper's tables, in the order of their names. */
export async function indexCatalog(sql: pg.Client): Promise<readonly CatalogRow[]> {
  const { rows } = await sql.query<CatalogRow>(`
    SELECT t.relname AS table, c.relname AS name, pg_get_indexdef(c.oid) AS definition, i.indisvalid AS valid,
           (SELECT h.inhparent::regclass::text FROM pg_inherits h WHERE h.inhrelid = c.oid) AS parent,
           obj_description(c.oid, 'pg_class') AS comment,
           (SELECT jsonb_object_agg(a.attnum, a.attstattarget) FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attstattarget >= 0) AS statistics,
           i.indisclustered AS clustered, s.spcname AS tablespace
      FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
      LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace
     WHERE c.relnamespace = 'public'::regnamespace AND NOT starts_with(t.relname, 'tallyman_')
     ORDER BY t.relname COLLATE "C", c.relname COLLATE "C"`);
  return rows;
}

/** How many rows the planner expects of a query. */
export async function expectedRows(sql: pg.Client, query: string): Promise<number> {
  const { rows } = await sql.query<{ "QUERY PLAN": [{ Plan: { "Plan Rows": number } }] }>(
    `EXPLAIN (FORMAT JSON) ${query}`,
  );
  return rows[0]?.["QUERY PLAN"][0].Plan["Plan Rows"] ?? Number.NaN;
}
