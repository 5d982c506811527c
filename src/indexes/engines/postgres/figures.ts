/**
 * The figures of a PostgreSQL table and its indexes, from catalog, statistics views and, if installed,
 * pg_stat_statements.
 */
import { messageOf } from "../engine.ts";
import { tableOf } from "./ddl.ts";
import type { IndexSession } from "./session.ts";
import {
  type Guard,
  type IndexFigures,
  SLOW_MS,
  SLOW_SHOWN,
  type SlowQuery,
  type TargetFigures,
  withoutFigures,
} from "../figures.ts";

interface TableRow {
  kind: string;
  rows: number;
  data: number;
  indexes: number;
  full: number;
  reset: Date | null;
  analyzed: Date | null;
  node: string;
  others: number;
}

interface IndexRow extends Omit<IndexFigures, "since" | "lastScan" | "guards" | "cache" | "method" | "id"> {
  id: string;
  method: string;
  scans: number;
  entriesRead: number;
  hits: number;
  reads: number;
  used: string | null;
  guards: Guard[];
}

/** Reads the figures of one table, with no lock but those on the catalog. */
export async function postgresFigures(sql: IndexSession, target: string): Promise<TargetFigures> {
  const { schema, table } = tableOf(target);
  const [head] = await sql.query<TableRow>(TABLE, [schema, table]);
  if (!head) return withoutFigures("postgres", target, "there is no such table; run the migrations first");
  if (head.kind !== "r" && head.kind !== "m" && head.kind !== "p") {
    return withoutFigures("postgres", target, "it is not a table");
  }
  const rows = await sql.query<IndexRow>(INDEXES, [schema, table]);
  const slow = await slowStatements(sql, table);
  const indexes = rows.map(({ id, hits, reads, used, ...row }): IndexFigures => {
    const lastScan = used === null ? null : new Date(used).toISOString();
    return { ...row, id, since: null, lastScan, cache: { hits, reads } };
  });
  return {
    engine: "postgres",
    target,
    rows: head.rows,
    dataBytes: head.data,
    indexBytes: head.indexes,
    scans: { full: head.full, index: indexes.reduce((sum, { scans }) => sum + (scans ?? 0), 0) },
    epoch: head.reset?.toISOString() ?? "",
    since: head.reset?.toISOString() ?? null,
    lastAnalyze: head.analyzed?.toISOString() ?? null,
    slow: typeof slow === "string" ? null : slow,
    node: head.node,
    otherNodes: head.others,
    indexes,
    unknown: typeof slow === "string" ? [`slow queries: ${slow}`] : [],
  };
}

/** @returns the slow statements, or why they are not known */
async function slowStatements(sql: IndexSession, table: string): Promise<SlowQuery[] | string> {
  const [extension] = await sql.query<{ view: string }>(STATEMENTS_VIEW);
  const view = extension?.view;
  if (view === undefined) return "pg_stat_statements is not installed in this database";
  try {
    return await sql.query<SlowQuery>(slowSql(view), [SLOW_MS, table.toLowerCase(), SLOW_SHOWN]);
  } catch (error) {
    return messageOf(error);
  }
}

/**
 * SQL: a table or an index, or instead of a partitioned one those of its partitions, which have its rows or entries, as
 * `x` (pg_class).
 */
function partsOf(relation: string): string {
  return `(SELECT ${relation}.oid UNION SELECT relid FROM pg_partition_tree(${relation}.oid)) AS part(oid)
       JOIN pg_class x ON x.oid = part.oid AND x.relkind NOT IN ('p', 'I')`;
}

const TABLE = `
  SELECT t.relkind AS kind, u.*, d.stats_reset AS reset,
         coalesce(host(inet_server_addr()) || ':' || inet_server_port(), 'local') AS node,
         (SELECT count(*) FROM pg_stat_replication)::int AS others
    FROM pg_class t
    JOIN pg_namespace n ON n.oid = t.relnamespace
   CROSS JOIN LATERAL (
     SELECT coalesce(sum(greatest(x.reltuples, s.n_live_tup, 0)), 0)::float8 AS rows,
            coalesce(sum(pg_table_size(x.oid)), 0)::float8 AS data, coalesce(sum(pg_indexes_size(x.oid)), 0)::float8 AS indexes,
            coalesce(sum(s.seq_scan), 0)::float8 AS full, max(greatest(s.last_analyze, s.last_autoanalyze)) AS analyzed
       FROM ${partsOf("t")} LEFT JOIN pg_stat_all_tables s ON s.relid = x.oid) u
    LEFT JOIN pg_stat_database d ON d.datname = current_database()
   WHERE n.nspname = $1 AND t.relname = $2`;

/**
 * Another role's build has its columns hidden. It counts as a build on this table, so that no index is called invalid.
 */
const BUILDING = `
  EXISTS (SELECT FROM pg_stat_progress_create_index p
           WHERE p.datname = current_database()
             AND (p.relid IS NULL OR p.relid = i.indrelid OR p.relid IN (SELECT relid FROM pg_partition_tree(i.indrelid)))
             AND (p.index_relid IS NULL OR p.index_relid IN (0, i.indexrelid) OR c.relkind = 'I'))`;

/** An index serves a foreign key if its first columns are the key's columns, in any order. */
const SUPPORTS_FOREIGN_KEY = `
  EXISTS (SELECT FROM pg_constraint f
           WHERE f.contype = 'f' AND f.conrelid = i.indrelid
             AND (i.indkey::int2[])[0:cardinality(f.conkey) - 1] @> f.conkey)`;

const INDEXES = `
  SELECT c.relname AS name, c.oid::text AS id, a.amname AS method, u.bytes,
         CASE WHEN i.indisvalid AND i.indisready THEN 'ready' WHEN ${BUILDING} THEN 'building' ELSE 'invalid' END AS state,
         u.entries, u.scans, u."entriesRead", u.hits, u.reads, u.used,
         array_remove(ARRAY[
           CASE WHEN i.indisprimary THEN 'primary key' WHEN i.indisunique THEN 'unique' END,
           CASE WHEN i.indisexclusion THEN 'exclusion constraint' END,
           CASE WHEN ${SUPPORTS_FOREIGN_KEY} THEN 'foreign key' END,
           CASE WHEN i.indisreplident OR (i.indisprimary AND t.relreplident = 'd') THEN 'replica identity' END,
           CASE WHEN i.indisclustered THEN 'clustered' END], NULL) AS guards
    FROM pg_class t
    JOIN pg_namespace n ON n.oid = t.relnamespace
    JOIN pg_index i ON i.indrelid = t.oid
    JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_am a ON a.oid = c.relam
   CROSS JOIN LATERAL (
     SELECT coalesce(sum(pg_relation_size(x.oid)), 0)::float8 AS bytes, sum(x.reltuples) FILTER (WHERE x.reltuples >= 0)::float8 AS entries,
            coalesce(sum(s.idx_scan), 0)::float8 AS scans, coalesce(sum(s.idx_tup_read), 0)::float8 AS "entriesRead",
            coalesce(sum(io.idx_blks_hit), 0)::float8 AS hits, coalesce(sum(io.idx_blks_read), 0)::float8 AS reads,
            max(to_jsonb(s) ->> 'last_idx_scan') AS used
       FROM ${partsOf("c")}
       LEFT JOIN pg_stat_all_indexes s ON s.indexrelid = x.oid
       LEFT JOIN pg_statio_all_indexes io ON io.indexrelid = x.oid) u
   WHERE n.nspname = $1 AND t.relname = $2
   ORDER BY c.relname`;

const STATEMENTS_VIEW = `
  SELECT format('%I.pg_stat_statements', n.nspname) AS view
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'`;

/**
 * Statements whose text contains the table's name, also of a namesake in another schema. Only those that can use an
 * index.
 */
function slowSql(view: string): string {
  return `
    SELECT left(regexp_replace(query, '\\s+', ' ', 'g'), 200) AS query, calls::float8 AS calls,
           round(mean_exec_time::numeric, 1)::float8 AS "meanMs", round(max_exec_time::numeric, 1)::float8 AS "maxMs"
      FROM ${view}
     WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND mean_exec_time >= $1 AND position($2 IN lower(query)) > 0
       AND query ~* '^\\s*(select|update|delete|merge|with)\\M'
     ORDER BY total_exec_time DESC LIMIT $3`;
}
