/**
 * What PostgreSQL has, in the normal form in which the server itself would write it. The text of a definition is no
 * fixed point: an index made from its own definition may be written differently (`varchar IN (...)` changes twice), so
 * tools that compare texts rebuild for ever. Here both sides, the declared and the existing, are created on an empty
 * temporary clone of the table, again and again until the text stays, and then compared by their catalog parts.
 */
import pg from "pg";
import type { Observation } from "./engine.ts";
import type { PostgresIndex } from "./manifest.ts";
import type { ActualIndex, DeclaredShape, Shape } from "./plan.ts";
import type { Session } from "./postgres-session.ts";

const CLONE = "tallyman_clone";
const PROBE = "tallyman_probe";
const MAX_ROUNDS = 4;
const LOOK_LOCK_TIMEOUT = "2s";

export interface Table {
  readonly schema: string;
  readonly table: string;
  readonly quoted: string;
}

export function tableOf(target: string): Table {
  const dot = target.indexOf(".");
  const [schema, table] = [target.slice(0, dot), target.slice(dot + 1)];
  return { schema, table, quoted: `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}` };
}

/** Everything of a definition after the table's name: `USING btree (...) WHERE ...`. */
export function definitionTail(index: PostgresIndex): string {
  const columns = index.columns.map((column) => {
    if (typeof column === "string") return pg.escapeIdentifier(column);
    const { collate, opclass, desc, nulls } = column;
    return [
      column.col === undefined ? `(${column.expr})` : pg.escapeIdentifier(column.col),
      collate === undefined ? "" : `COLLATE ${pg.escapeIdentifier(collate)}`,
      opclass ?? "",
      desc === true ? "DESC" : "",
      nulls === undefined ? "" : `NULLS ${nulls.toUpperCase()}`,
    ]
      .filter((part) => part !== "")
      .join(" ");
  });
  const options = Object.entries(index.with ?? {}).map(([name, value]) => `${name} = ${value}`);
  return [
    `USING ${index.method ?? "btree"} (${columns.join(", ")})`,
    index.include === undefined ? "" : `INCLUDE (${index.include.map((name) => pg.escapeIdentifier(name)).join(", ")})`,
    index.nullsNotDistinct === true ? "NULLS NOT DISTINCT" : "",
    options.length === 0 ? "" : `WITH (${options.join(", ")})`,
    index.where === undefined ? "" : `WHERE ${index.where}`,
  ]
    .filter((part) => part !== "")
    .join(" ");
}

interface IndexRow {
  name: string;
  tail: string | null;
  unique: boolean;
  valid: boolean;
  building: boolean;
  constraint: "primary" | "unique" | null;
}

/**
 * All indexes of the table and all declared ones, comparable. Takes ACCESS SHARE on the table, changes nothing, and does
 * not queue behind someone's DDL for longer than the lock timeout: it would hold a snapshot meanwhile, which builds wait for.
 */
export async function observe(
  session: Session,
  target: string,
  declared: readonly PostgresIndex[],
): Promise<Observation> {
  await session.query("BEGIN");
  try {
    await session.query(`SET LOCAL lock_timeout = '${LOOK_LOCK_TIMEOUT}'`);
    return await observeInTransaction(session, target, declared);
  } finally {
    await session.query("ROLLBACK").catch(() => undefined);
  }
}

async function observeInTransaction(
  session: Session,
  target: string,
  declared: readonly PostgresIndex[],
): Promise<Observation> {
  const table = tableOf(target);
  const [relation] = await session.query<{ kind: string; busy: boolean }>(RELATION, [table.schema, table.table]);
  const kind = relation?.kind ?? "missing";
  if (kind !== "r" && kind !== "m") {
    const unusable = kind === "missing" ? "there is no such table; run the migrations first" : KINDS[kind];
    return { unusable: unusable ?? "it is no table", actual: [], declared: new Map(), rules: {}, busy: false };
  }
  const rows = await session.query<IndexRow>(INDEXES, [table.schema, table.table]);
  const names = declared.map(({ name }) => name);
  const taken = await session.query<{ name: string; what: string }>(TAKEN, [table.schema, table.table, names]);

  const shapes = await onClone(session, table, [
    ...rows.map((row) => ({ unique: row.unique, tail: row.tail ?? "" })),
    ...declared.map((index) => ({
      unique: index.unique === true || index.constraint !== undefined,
      tail: definitionTail(index),
    })),
  ]);
  const actual = rows.map((row, at): ActualIndex => {
    const shape = shapes[at];
    return {
      name: row.name,
      // One that cannot be made again here equals nothing, which is the safe answer.
      shape: shape instanceof Error || !shape ? { unreadable: shape?.message ?? row.name } : shape,
      valid: row.valid,
      building: row.building,
      ...(row.constraint === null ? {} : { constraint: row.constraint }),
    };
  });
  const declaredShapes = declared.map((index, at): [string, DeclaredShape | Error] => {
    const shape = shapes[rows.length + at] ?? new Error("no shape");
    if (shape instanceof Error) return [index.name, shape];
    return [index.name, { name: index.name, shape, ...(index.constraint ? { constraint: index.constraint } : {}) }];
  });
  return {
    actual,
    declared: new Map(declaredShapes),
    rules: { taken: new Map(taken.map(({ name, what }) => [name, what])) },
    busy: relation?.busy === true,
  };
}

type Definition = { readonly unique: boolean; readonly tail: string };

/** The shapes in the order of the definitions. The clone goes with the transaction. */
async function onClone(session: Session, table: Table, definitions: readonly Definition[]): Promise<(Shape | Error)[]> {
  await session.query(`CREATE TEMP TABLE ${CLONE} (LIKE ${table.quoted} INCLUDING GENERATED) ON COMMIT DROP`);
  const shapes: (Shape | Error)[] = [];
  for (const definition of definitions) {
    await session.query("SAVEPOINT probe");
    shapes.push(await settle(session, definition).catch((error: unknown) => asDefinitionError(error)));
    await session.query("ROLLBACK TO SAVEPOINT probe");
  }
  return shapes;
}

/** Feeds the server its own text until it stays the same; two rounds do in practice. */
async function settle(session: Session, { unique, tail }: Definition): Promise<Shape> {
  let text = tail;
  for (let round = 0; ; round += 1) {
    await session.query(`CREATE ${unique ? "UNIQUE " : ""}INDEX ${PROBE} ON pg_temp.${CLONE} ${text}`);
    const [row] = await session.query<{ tail: string; shape: Shape }>(SHAPE);
    if (!row) throw new Error("the probe index is not in the catalog");
    if (row.tail === text || round + 1 >= MAX_ROUNDS) return row.shape;
    text = row.tail;
    await session.query(`DROP INDEX pg_temp.${PROBE}`);
  }
}

/** What the server says about a definition; anything else (a lost connection, a timeout) is no answer about it. */
function asDefinitionError(error: unknown): Error {
  if (!(error instanceof pg.DatabaseError) || !/^(42|22|0A|54)/.test(error.code ?? "")) throw error;
  return error;
}

const KINDS: Readonly<Record<string, string>> = {
  p: "it is partitioned, which is not supported yet",
  v: "it is a view",
  f: "it is a foreign table",
};

/** A row of another role's build has its columns hidden; it then counts as one on this table, which only costs waiting. */
const BUILDS_HERE = `p.datname = current_database() AND p.pid <> pg_backend_pid() AND (p.relid IS NULL OR p.relid = t.oid)`;

const RELATION = `
  SELECT t.relkind AS kind, EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE ${BUILDS_HERE}) AS busy
    FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
   WHERE n.nspname = $1 AND t.relname = $2`;

const INDEXES = `
  SELECT c.relname AS name, i.indisunique AS unique, i.indisvalid AS valid,
         (SELECT CASE k.contype WHEN 'p' THEN 'primary' WHEN 'u' THEN 'unique' END
            FROM pg_constraint k WHERE k.conindid = c.oid AND k.contype IN ('p', 'u') LIMIT 1) AS constraint,
         NOT i.indisvalid AND EXISTS (
           SELECT FROM pg_stat_progress_create_index p
            WHERE ${BUILDS_HERE} AND (p.index_relid IS NULL OR p.index_relid IN (0, c.oid))) AS building,
         CASE WHEN starts_with(d.def, d.head) THEN substr(d.def, length(d.head) + 1) END AS tail
    FROM pg_class t
    JOIN pg_namespace n ON n.oid = t.relnamespace
    JOIN pg_index i ON i.indrelid = t.oid
    JOIN pg_class c ON c.oid = i.indexrelid
    CROSS JOIN LATERAL (SELECT pg_get_indexdef(c.oid) AS def,
      format('CREATE %sINDEX %I ON %I.%I ', CASE WHEN i.indisunique THEN 'UNIQUE ' END, c.relname, n.nspname, t.relname) AS head) d
   WHERE n.nspname = $1 AND t.relname = $2
   ORDER BY c.relname`;

const TAKEN = `
  SELECT c.relname AS name,
         CASE WHEN i.indrelid IS NULL THEN 'another relation' ELSE 'an index of ' || i.indrelid::regclass::text END AS what
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_index i ON i.indexrelid = c.oid
   WHERE n.nspname = $1 AND c.relname = ANY ($3::text[])
     AND i.indrelid IS DISTINCT FROM (SELECT t.oid FROM pg_class t WHERE t.relnamespace = n.oid AND t.relname = $2)`;

/** By parts of the catalog. Never names, tablespaces or column numbers: those differ without any difference in work. */
const SHAPE = `
  SELECT regexp_replace(pg_get_indexdef(c.oid), '^CREATE (UNIQUE )?INDEX \\S+ ON \\S+ ', '') AS tail,
         json_build_object(
           'method', a.amname,
           'unique', i.indisunique::text,
           'keys', (SELECT string_agg(pg_get_indexdef(c.oid, k, false), ', ' ORDER BY k) FROM generate_series(1, i.indnkeyatts) k),
           'include', coalesce((SELECT string_agg(pg_get_indexdef(c.oid, k, false), ', ' ORDER BY k)
                                  FROM generate_series(i.indnkeyatts + 1, i.indnatts) k), ''),
           'order', i.indoption::text,
           'opclass', (SELECT string_agg(o.opcname, ', ' ORDER BY u.k)
                         FROM unnest(i.indclass::oid[]) WITH ORDINALITY u(id, k) JOIN pg_opclass o ON o.oid = u.id),
           'collation', (SELECT string_agg(coalesce(o.collname, '-'), ', ' ORDER BY u.k)
                           FROM unnest(i.indcollation::oid[]) WITH ORDINALITY u(id, k) LEFT JOIN pg_collation o ON o.oid = u.id),
           'nullsNotDistinct', coalesce(to_jsonb(i) ->> 'indnullsnotdistinct', 'false'),
           'options', coalesce((SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(c.reloptions) o), ''),
           'opclassOptions', coalesce((SELECT string_agg(t.attnum || ' ' || t.attoptions::text, ', ' ORDER BY t.attnum)
                                         FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attoptions IS NOT NULL), ''),
           'predicate', coalesce(pg_get_expr(i.indpred, i.indrelid), '')) AS shape
    FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid JOIN pg_am a ON a.oid = c.relam
   WHERE c.oid = to_regclass('pg_temp.${PROBE}')`;
