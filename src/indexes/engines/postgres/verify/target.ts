/** Reads what the verdict on a contract needs of its table: size, indexes, partitions. */
import { comparedColumns, type TableIndex } from "./filter.ts";
import type { Relations } from "./plan.ts";
import type { Query } from "./reader.ts";

/** With fewer rows a full scan may rightly be cheaper than any index; PgHero uses the same limit. */
const SMALL_ROWS = 10_000;

export interface PostgresTarget extends Relations {
  readonly schema: string;
  readonly table: string;
  readonly size: "empty" | "small" | "large";
  readonly indexes: readonly TableIndex[];
  /** type by column name, in the server's text */
  readonly columns: ReadonlyMap<string, string>;
  /**
   * Percent of the table that is about ten thousand rows; undefined for a small table or without storage of its own.
   */
  readonly samplePercent: number | undefined;
  /** Never analyzed, so the planner guesses. */
  readonly isUnanalyzed: boolean;
}

/** @returns undefined if the relation does not exist */
export async function readTarget(query: Query, schema: string, table: string): Promise<PostgresTarget | undefined> {
  const [relation] = await query<RelationRow>(RELATION, [schema, table]);
  if (!relation) return undefined;
  const indexes = await query<TableIndex & { parent: string | null; own: boolean }>(INDEXES, [schema, table]);
  const columns = await query<{ name: string; type: string }>(COLUMNS, [schema, table]);
  const [some] = await query<{ rows: number }>(
    `SELECT count(*)::int AS rows FROM (SELECT FROM ${relation.quoted} LIMIT ${SMALL_ROWS}) AS sample`,
  );
  const rows = some?.rows ?? 0;
  const members = new Set(relation.members);
  // The tables behind a view are not known, so every relation of the plan counts as the target.
  const isView = relation.kind === "v";
  const parents = new Map(indexes.map(({ name, parent }) => [name, parent ?? name]));
  const own = indexes.filter((index) => index.own);
  const byName = new Map(own.map((index) => [index.name, index]));
  const types = new Map(columns.map(({ name, type }) => [name, type]));
  return {
    schema,
    table,
    size: rows === 0 ? "empty" : rows < SMALL_ROWS ? "small" : "large",
    indexes: own,
    columns: types,
    samplePercent:
      relation.reltuples > SMALL_ROWS && isStored(relation.kind)
        ? Math.max(0.0001, (100 * SMALL_ROWS) / relation.reltuples)
        : undefined,
    isUnanalyzed: isStored(relation.kind) && rows > 0 && relation.reltuples <= 0,
    isTarget: (ofSchema, name) => isView || members.has(`${ofSchema}.${name}`),
    parentOf: (name) => parents.get(name) ?? name,
    isPicked(name, condition) {
      const index = byName.get(name);
      if (!index || index.predicate !== null) return true; // a partial index counts as bounded
      return (
        condition !== undefined && (index.method !== "btree" || comparedColumns(condition, index, types).length > 0)
      );
    },
  };
}

function isStored(kind: string): boolean {
  return kind === "r" || kind === "p" || kind === "m";
}

interface RelationRow {
  quoted: string;
  kind: string;
  reltuples: number;
  /** itself and its partitions, as schema.name */
  members: string[];
}

const RELATION = `
  WITH RECURSIVE tree AS (
    SELECT t.oid FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
     WHERE n.nspname = $1 AND t.relname = $2 AND t.relkind IN ('r', 'p', 'm', 'v', 'f')
    UNION ALL SELECT i.inhrelid FROM pg_inherits i JOIN tree ON i.inhparent = tree.oid)
  SELECT format('%I.%I', $1::text, $2::text) AS quoted, t.relkind AS kind,
         (SELECT sum(greatest(c.reltuples, 0)) FROM tree JOIN pg_class c USING (oid))::float8 AS reltuples,
         ARRAY(SELECT n.nspname || '.' || c.relname
                 FROM tree JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace) AS members
    FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
   WHERE n.nspname = $1 AND t.relname = $2 AND t.relkind IN ('r', 'p', 'm', 'v', 'f')`;

/** The indexes of the table itself (\`own\`), and those of its partitions with the name of the table's index. */
const INDEXES = `
  WITH RECURSIVE tree AS (
    SELECT c.oid, c.relname AS top, true AS own
      FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
      JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class c ON c.oid = i.indexrelid
     WHERE n.nspname = $1 AND t.relname = $2
    UNION ALL
    SELECT h.inhrelid, tree.top, false FROM pg_inherits h JOIN tree ON h.inhparent = tree.oid)
  SELECT c.relname AS name, tree.own, CASE WHEN NOT tree.own THEN tree.top END AS parent,
         i.indisvalid AS valid,
         i.indcheckxmin AS "isWaiting",
         regexp_replace(substr(pg_get_indexdef(c.oid), length(format('CREATE %sINDEX %I ON ',
           CASE WHEN i.indisunique THEN 'UNIQUE ' END, c.relname)) + 1), '^.*? (?=USING )', '') AS tail,
         pg_get_expr(i.indpred, i.indrelid) AS predicate, a.amname AS method,
         ARRAY(SELECT pg_get_indexdef(c.oid, k, true) FROM generate_series(1, i.indnkeyatts) k) AS keys,
         (SELECT o.collname FROM pg_collation o WHERE o.oid = i.indcollation[0]) AS collation,
         (SELECT o.collname FROM pg_attribute f JOIN pg_collation o ON o.oid = f.attcollation
           WHERE f.attrelid = i.indrelid AND f.attnum = i.indkey[0]) AS "columnCollation"
    FROM tree JOIN pg_class c USING (oid) JOIN pg_index i ON i.indexrelid = c.oid
    JOIN pg_am a ON a.oid = c.relam
   ORDER BY c.relname`;

const COLUMNS = `
  SELECT f.attname AS name, format_type(f.atttypid, f.atttypmod) AS type
    FROM pg_attribute f JOIN pg_class t ON t.oid = f.attrelid JOIN pg_namespace n ON n.oid = t.relnamespace
   WHERE n.nspname = $1 AND t.relname = $2 AND f.attnum > 0 AND NOT f.attisdropped`;
