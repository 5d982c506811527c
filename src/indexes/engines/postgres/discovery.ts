/** The indexes of a PostgreSQL database, as a manifest would declare them. */
import type { PostgresColumn, PostgresIndex } from "../../manifest/manifest.ts";
import { withoutMark } from "../../ledger/recorder.ts";
import type { Discovery, FoundIndex } from "../discovery.ts";
import { tableOf } from "./ddl.ts";
import type { IndexSession } from "./session.ts";

interface ColumnRow {
  readonly col: string | null;
  readonly expr: string | null;
  /** null where it is the default one and has no parameters */
  readonly opclass: string | null;
  readonly parameters: readonly string[] | null;
  readonly collate: string | null;
  readonly desc: boolean;
  readonly first: boolean;
  readonly statistics: number | null;
}

interface IndexRow {
  readonly name: string;
  readonly definition: string;
  readonly method: string;
  readonly unique: boolean;
  readonly valid: boolean;
  readonly nullsNotDistinct: boolean;
  readonly isPart: boolean;
  readonly constraint: "p" | "u" | "x" | null;
  readonly owner: string | null;
  readonly columns: readonly ColumnRow[];
  readonly include: readonly string[];
  readonly where: string | null;
  readonly options: readonly string[];
  readonly tablespace: string | null;
  readonly clustered: boolean;
  readonly about: string | null;
}

export function postgresDiscovery(session: IndexSession): Discovery {
  return {
    async targets(schema) {
      const { ledger, journal, samples, reports } = session.tables;
      const rows = await session.query<{ target: string }>(TARGETS, [
        schema ?? null,
        [ledger, journal, samples, reports],
      ]);
      return rows.map(({ target }) => target);
    },
    async read(target) {
      const { schema, table } = tableOf(target);
      const rows = await session.query<IndexRow>(INDEXES, [schema, table]);
      return { indexes: rows.map(foundIndex), notes: [] };
    },
  };
}

function foundIndex(row: IndexRow): FoundIndex {
  const { name, definition } = row;
  const obstacle = obstacleTo(row);
  if (obstacle !== undefined) return { name, definition, notes: [obstacle] };
  const about = withoutMark(row.about ?? "");
  return {
    name,
    definition,
    declaration: declarationOf(row),
    ...(about === "" ? {} : { about }),
    notes: [
      ...(row.owner === null ? [] : [`of the constraint ${row.owner}, so it is only checked`]),
      ...(row.tablespace === null ? [] : [`in the tablespace ${row.tablespace}, which is not declared`]),
      ...(row.clustered ? ["the table is clustered on it, which is not declared"] : []),
      ...row.columns.flatMap(({ statistics, col, expr }) =>
        statistics === null ? [] : [`SET STATISTICS ${statistics} on ${col ?? expr} is not declared`],
      ),
    ],
  };
}

/** Why no manifest can declare it; undefined if one can. */
function obstacleTo({ valid, isPart, constraint, owner }: IndexRow): string | undefined {
  if (isPart) return "a part of the index of a partitioned table, which is declared there";
  if (constraint === "x") return `of the exclusion constraint ${owner}, which a manifest cannot declare`;
  return valid ? undefined : "it is invalid, so no query uses it: drop it, or declare it and let ensure repair it";
}

function declarationOf(row: IndexRow): Omit<PostgresIndex, "why"> {
  const { name, method, columns, include, where, options, constraint, unique, nullsNotDistinct } = row;
  return {
    name,
    columns: columns.map(columnOf),
    ...(method === "btree" ? {} : { method }),
    ...(constraint === null ? (unique ? { unique } : {}) : { constraint: constraint === "p" ? "primary" : "unique" }),
    ...(nullsNotDistinct ? { nullsNotDistinct } : {}),
    ...(include.length === 0 ? {} : { include }),
    ...(options.length === 0 ? {} : { with: Object.fromEntries(options.map(parameter)) }),
    ...(where === null ? {} : { where }),
  };
}

function columnOf({ col, expr, opclass, parameters, collate, desc, first }: ColumnRow): PostgresColumn {
  const options = {
    ...(opclass === null ? {} : { opclass: opclass + parametersText(parameters ?? []) }),
    ...(collate === null ? {} : { collate }),
    ...(desc ? { desc } : {}),
    // By default the nulls of a descending column come first, and those of an ascending one last.
    ...(first === desc ? {} : { nulls: first ? ("first" as const) : ("last" as const) }),
  };
  // The server puts parentheses around what is no call of a function, and definitionTail does so again.
  if (col === null) return { expr: (expr ?? "").replace(/^\((.*)\)$/s, "$1"), ...options };
  return Object.keys(options).length === 0 ? col : { col, ...options };
}

/** `{siglen=32}` -> ` (siglen = 32)` */
function parametersText(parameters: readonly string[]): string {
  const texts = parameters.map(parameter).map(([name, value]) => {
    return `${name} = ${typeof value === "number" ? value : `'${value.replaceAll("'", "''")}'`}`;
  });
  return texts.length === 0 ? "" : ` (${texts.join(", ")})`;
}

/** `fillfactor=70` -> `["fillfactor", 70]` */
function parameter(text: string): [string, string | number] {
  const at = text.indexOf("=");
  const value = text.slice(at + 1);
  return [text.slice(0, at), /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value];
}

const TARGETS = `
  SELECT n.nspname || '.' || t.relname AS target
    FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
   WHERE t.relkind IN ('r', 'm', 'p') AND t.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
     AND ($1::text IS NULL OR n.nspname = $1) AND t.oid <> ALL (
       SELECT to_regclass(own)::oid FROM unnest($2::text[]) own WHERE to_regclass(own) IS NOT NULL)
     AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = t.oid)
     AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = t.oid AND d.deptype = 'e')
   ORDER BY n.nspname, t.relname`;

/** A collation is named where it is another than the column's; of an expression, where it is another than the default. */
const INDEXES = `
  SELECT c.relname AS name, pg_get_indexdef(c.oid) AS definition, a.amname AS method, i.indisunique AS unique,
         i.indisvalid AS valid, i.indisclustered AS clustered, c.relispartition AS "isPart", k.contype AS constraint,
         k.conname AS owner, s.spcname AS tablespace, obj_description(c.oid, 'pg_class') AS about,
         coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false) AS "nullsNotDistinct",
         pg_get_expr(i.indpred, i.indrelid) AS where, to_json(coalesce(c.reloptions, '{}')) AS options,
         (SELECT coalesce(json_agg(t.attname ORDER BY m), '[]')
            FROM generate_series(i.indnkeyatts + 1, i.indnatts) m
            JOIN pg_attribute t ON t.attrelid = i.indrelid AND t.attnum = i.indkey[m - 1]) AS include,
         (SELECT json_agg(json_build_object(
                   'col', t.attname, 'expr', CASE WHEN t.attname IS NULL THEN pg_get_indexdef(c.oid, m, false) END,
                   'opclass', CASE WHEN NOT o.opcdefault OR x.attoptions IS NOT NULL THEN
                      CASE WHEN pg_opclass_is_visible(o.oid) THEN '' ELSE quote_ident(p.nspname) || '.' END || quote_ident(o.opcname) END,
                   'parameters', x.attoptions,
                   'collate', CASE WHEN i.indcollation[m - 1] NOT IN (0, coalesce(t.attcollation, 'pg_catalog."default"'::regcollation))
                      THEN l.collname END,
                   'desc', i.indoption[m - 1] & 1 = 1, 'first', i.indoption[m - 1] & 2 = 2,
                   'statistics', CASE WHEN x.attstattarget >= 0 THEN x.attstattarget END) ORDER BY m)
            FROM generate_series(1, i.indnkeyatts) m
            JOIN pg_attribute x ON x.attrelid = c.oid AND x.attnum = m
            JOIN pg_opclass o ON o.oid = i.indclass[m - 1]
            JOIN pg_namespace p ON p.oid = o.opcnamespace
            LEFT JOIN pg_attribute t ON t.attrelid = i.indrelid AND t.attnum = i.indkey[m - 1]
            LEFT JOIN pg_collation l ON l.oid = i.indcollation[m - 1]) AS columns
    FROM pg_class r
    JOIN pg_namespace n ON n.oid = r.relnamespace
    JOIN pg_index i ON i.indrelid = r.oid
    JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_am a ON a.oid = c.relam
    LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace
    LEFT JOIN pg_constraint k ON k.conindid = c.oid AND k.contype IN ('p', 'u', 'x')
   WHERE n.nspname = $1 AND r.relname = $2
   ORDER BY c.relname`;
