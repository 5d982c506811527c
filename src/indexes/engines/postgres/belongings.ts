/**
 * What hangs on an index besides its definition. PostgreSQL drops it with the index, so a replacement hands it to the
 * successor, and the ledger keeps it for a rollback.
 */
import pg from "pg";
import { qualified } from "./ddl.ts";
import type { IndexSession } from "./session.ts";

export interface Belongings {
  /** with the keeper's mark, where it has one */
  readonly comment?: string;
  /** the columns with a statistics target of their own, which only expressions can have */
  readonly statistics?: readonly StatisticsTarget[];
  /** CLUSTER without an index name takes this index */
  readonly clustered?: true;
  /** absent: the database's default tablespace */
  readonly tablespace?: string;
}

interface StatisticsTarget {
  /** from 1 */
  readonly column: number;
  /** in the server's text */
  readonly expression: string;
  readonly target: number;
}

/** A replaced index, as the ledger remembers it. */
export interface Former extends Belongings {
  /** `UNIQUE `, where it is unique, and everything after the table's name */
  readonly definition: string;
  /** of a partitioned table: the indexes of its partitions, at any depth */
  readonly partitions?: readonly FormerPartition[];
}

export interface FormerPartition extends Belongings {
  /** `schema.table` */
  readonly table: string;
  /** absent: the name follows from the table's */
  readonly name?: string;
}

/** The ledger's text of a replaced index: its definition alone, or JSON where something hangs on it. */
export function formerText({ definition, ...belongings }: Former): string {
  return Object.keys(belongings).length === 0 ? definition : JSON.stringify({ definition, ...belongings });
}

/** Reads the text back; earlier versions wrote definitions only. */
export function parseFormer(text: string): Former {
  return text.startsWith("{") ? (JSON.parse(text) as Former) : { definition: text };
}

/** For a person. */
export function describeFormer(text: string): string {
  const { definition, comment, statistics = [], clustered, tablespace, partitions } = parseFormer(text);
  const own = splitComment(comment).text;
  const parts = [
    ...(tablespace === undefined ? [] : [`tablespace ${tablespace}`]),
    ...(clustered === true ? ["CLUSTER"] : []),
    ...statistics.map(({ column, target }) => `statistics of column ${column}: ${target}`),
    ...(own === undefined ? [] : [`comment '${own}'`]),
    ...(partitions === undefined ? [] : [`with the indexes of ${partitions.length} partitions`]),
  ];
  return parts.length === 0 ? definition : `${definition} (${parts.join(", ")})`;
}

const MARK = /^tallyman:.*:[0-9a-f]{12}$/;

/** A comment in two: somebody's text, and the keeper's mark, which is its last line. */
export function splitComment(comment: string | null | undefined): { readonly text?: string; readonly mark?: string } {
  if (comment === null || comment === undefined) return {};
  const lines = comment.split("\n");
  const last = lines.at(-1) ?? "";
  if (!MARK.test(last)) return { text: comment };
  return lines.length === 1 ? { mark: last } : { text: lines.slice(0, -1).join("\n"), mark: last };
}

/** @returns null for an index that is to have no comment */
export function joinComment({ text, mark }: ReturnType<typeof splitComment>): string | null {
  const parts = [text, mark].filter((part) => part !== undefined);
  return parts.length === 0 ? null : parts.join("\n");
}

/**
 * The last line of the comment on a partition's index that was there before the keeper attached it to the index of the
 * whole table. Dropping that one would drop it too, so it is built again first.
 */
const FOUND_HERE = "tallyman:attached";

export function isFoundHere(comment: string | null): boolean {
  return comment?.split("\n").at(-1) === FOUND_HERE;
}

/** The comment with the line (`true`), or as it was before. */
export function withFoundHere(comment: string | null, isFound: boolean): string | null {
  const lines = comment === null ? [] : comment.split("\n");
  if (isFoundHere(comment)) lines.pop();
  if (isFound) lines.push(FOUND_HERE);
  return lines.length === 0 ? null : lines.join("\n");
}

export function commentStatement(index: string, comment: string | null): string {
  return `COMMENT ON INDEX ${index} IS ${comment === null ? "NULL" : pg.escapeLiteral(comment)}`;
}

/** What the new index gets: all of it as it was, or for an index of another definition what still makes sense there. */
export type Inheritance = "as it was" | "successor";

/**
 * The statements that give an index what hung on another one; the tablespace is decided by its build, the CLUSTER mark
 * moves with the name. None of them blocks readers or writers.
 */
export async function inheritStatements(
  session: IndexSession,
  schema: string,
  name: string,
  { comment, statistics = [] }: Belongings,
  how: Inheritance,
): Promise<string[]> {
  const index = qualified(schema, name);
  const text = how === "successor" ? splitComment(withFoundHere(comment ?? null, false)).text : comment;
  const columns = await session.query<{ column: number; expression: string }>(EXPRESSIONS, [schema, name]);
  const targets = statistics.flatMap(({ column, expression, target }) => {
    const own = columns.find((one) => one.expression === expression);
    const at = own?.column ?? (how === "as it was" ? column : undefined);
    return at === undefined ? [] : [`ALTER INDEX ${index} ALTER COLUMN ${at} SET STATISTICS ${target}`];
  });
  return [...(text === undefined ? [] : [commentStatement(index, text)]), ...targets];
}

/** The comment of an index; null without one. */
export async function commentOf(session: IndexSession, schema: string, name: string): Promise<string | null> {
  const [row] = await session.query<{ comment: string | null }>(
    `SELECT obj_description(c.oid, 'pg_class') AS comment
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`,
    [schema, name],
  );
  return row?.comment ?? null;
}

const EXPRESSIONS = `
  SELECT a.attnum::int AS column, pg_get_indexdef(c.oid, a.attnum, false) AS expression
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid
   WHERE n.nspname = $1 AND c.relname = $2 AND i.indkey[a.attnum - 1] = 0`;

/** SQL: the belongings of the index `c` (pg_class) and `i` (pg_index), as JSON. */
export const BELONGINGS = `
  json_strip_nulls(json_build_object(
    'comment', obj_description(c.oid, 'pg_class'),
    'statistics', (SELECT json_agg(json_build_object('column', a.attnum, 'expression', pg_get_indexdef(c.oid, a.attnum, false),
                                                     'target', a.attstattarget) ORDER BY a.attnum)
                     FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attstattarget >= 0),
    'clustered', CASE WHEN i.indisclustered THEN true END,
    'tablespace', (SELECT s.spcname FROM pg_tablespace s WHERE s.oid = c.reltablespace)))`;

/** SQL: the indexes of all partitions under the partitioned index `c`, as JSON; null if it has none. */
export const PARTITIONS = `
  (SELECT json_agg(jsonb_build_object('table', x.table, 'name', x.name) || x.belongings::jsonb ORDER BY x.level, x.table)
     FROM (SELECT format('%s.%s', tn.nspname, t.relname) AS table, c.relname AS name, part.level, ${BELONGINGS} AS belongings
             FROM (SELECT relid, level FROM pg_partition_tree(c.oid)) part JOIN pg_index i ON i.indexrelid = part.relid
             JOIN pg_class c ON c.oid = part.relid JOIN pg_class t ON t.oid = i.indrelid
             JOIN pg_namespace tn ON tn.oid = t.relnamespace
            WHERE part.level > 0) x)`;
