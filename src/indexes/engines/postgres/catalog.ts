/**
 * The indexes of a PostgreSQL table in their normal form, in the server's own text. The text of a definition is no
 * fixed point: an index built from its own definition may be written differently (`varchar IN (...)` changes twice), so
 * tools that compare texts rebuild for ever. Here declared and existing indexes are created on an empty temporary clone
 * of the table, repeatedly until the text no longer changes, and then compared by the parts in the catalog.
 */
import pg from "pg";
import type { PostgresIndex } from "../../manifest/manifest.ts";
import { BELONGINGS, formerText, splitComment, type Belongings } from "./belongings.ts";
import { declaredDefinition, definitionText, REBUILD_ENDING, tableOf, type Definition, type Table } from "./ddl.ts";
import type { IndexSession } from "./session.ts";
import type { ActualIndex, DeclaredForm, Duty, KeyOrder, Observation } from "../../decision/observation.ts";
import { sameForm, type NormalForm } from "../../decision/normal-form.ts";

const CLONE = "tallyman_clone";
const PROBE = "tallyman_probe";
const MAX_ROUNDS = 4;
const LOOK_LOCK_TIMEOUT = "2s";

interface IndexRow {
  name: string;
  tail: string | null;
  unique: boolean;
  valid: boolean;
  building: boolean;
  constraint: "primary" | "unique" | null;
  guards: Duty | null;
  belongings: Belongings;
  oid: string;
}

interface Probed {
  readonly form: NormalForm;
  readonly order: KeyOrder | null;
}

/**
 * Reads all indexes of the table, and brings them and the declared ones into their normal form. Takes ACCESS SHARE on
 * the table and changes nothing. It waits for someone's DDL no longer than the lock timeout, since builds wait for its
 * snapshot.
 */
export async function observe(
  session: IndexSession,
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
  session: IndexSession,
  target: string,
  declared: readonly PostgresIndex[],
): Promise<Observation> {
  const table = tableOf(target);
  const [relation] = await session.query<{ kind: string; busy: boolean }>(RELATION, [table.schema, table.table]);
  const kind = relation?.kind ?? "missing";
  if (kind !== "r" && kind !== "m") {
    const unusable = kind === "missing" ? "there is no such table; run the migrations first" : KINDS[kind];
    const nothing = { actual: [], declared: new Map(), rules: {}, busy: false };
    return { unusable: unusable ?? "it is not a table", isMissing: kind === "missing", ...nothing };
  }
  const rows = await session.query<IndexRow>(INDEXES, [table.schema, table.table]);
  const names = declared.map(({ name }) => name);
  const taken = await session.query<{ name: string; what: string }>(TAKEN, [table.schema, table.table, names]);

  const forms = await onClone(session, table, [
    ...rows.map((row) => ({ unique: row.unique, tail: row.tail ?? "" })),
    ...declared.map((index) => {
      const definition = declaredDefinition(index);
      return { ...definition, unique: definition.unique || index.constraint !== undefined };
    }),
  ]);
  const words = [...forms];
  await unifyPredicates(session, forms.slice(rows.length), words, rows.length);
  const actual = rows.map((row, at): ActualIndex => {
    const [probed, own] = [words[at], forms[at]];
    const isReadable = probed !== undefined && !(probed instanceof Error);
    const { unique, tail, belongings } = row;
    const { mark } = splitComment(belongings.comment);
    return {
      name: row.name,
      // An index that cannot be built on the clone equals no declared one, which is the safe answer.
      form: isReadable ? probed.form : { unreadable: probed?.message ?? row.name },
      ...(isReadable && own !== probed && own && !(own instanceof Error) ? { ownForm: own.form } : {}),
      valid: row.valid,
      building: row.building,
      ...(REBUILD_ENDING.test(row.name) ? { isRebuild: true as const } : {}),
      ...(row.constraint === null ? {} : { constraint: row.constraint }),
      ...(isReadable && probed.order ? { order: probed.order } : {}),
      ...(row.guards === null ? {} : { guards: row.guards }),
      ...(tail === null
        ? {}
        : { definition: formerText({ definition: definitionText({ unique, tail }), ...belongings }) }),
      ...(mark === undefined ? {} : { mark }),
      oid: Number(row.oid),
    };
  });
  const declaredShapes = declared.map((index, at): [string, DeclaredForm | Error] => {
    const probed = forms[rows.length + at] ?? new Error("no form");
    if (probed instanceof Error) return [index.name, probed];
    return [
      index.name,
      { name: index.name, form: probed.form, ...(index.constraint ? { constraint: index.constraint } : {}) },
    ];
  });
  return {
    actual,
    declared: new Map(declaredShapes),
    rules: { taken: new Map(taken.map(({ name, what }) => [name, what])) },
    busy: relation?.busy === true,
  };
}

/** The normal forms, in the order of the definitions. The clone is dropped at the end of the transaction. */
async function onClone(
  session: IndexSession,
  table: Table,
  definitions: readonly Definition[],
): Promise<(Probed | Error)[]> {
  await session.query(`CREATE TEMP TABLE ${CLONE} (LIKE ${table.quoted} INCLUDING GENERATED) ON COMMIT DROP`);
  const forms: (Probed | Error)[] = [];
  for (const definition of definitions) {
    await session.query("SAVEPOINT probe");
    forms.push(await settle(session, definition).catch((error: unknown) => asDefinitionError(error)));
    await session.query("ROLLBACK TO SAVEPOINT probe");
  }
  return forms;
}

/** Creates the index from the server's own text until that no longer changes; in practice two rounds are enough. */
async function settle(session: IndexSession, { unique, tail }: Definition): Promise<Probed> {
  let text = tail;
  for (let round = 0; ; round += 1) {
    await session.query(`CREATE ${unique ? "UNIQUE " : ""}INDEX ${PROBE} ON pg_temp.${CLONE} ${text}`);
    const [row] = await session.query<Probed & { tail: string }>(FORM);
    if (!row) throw new Error("the probe index is not in the catalog");
    if (row.tail === text || round + 1 >= MAX_ROUNDS) return row;
    text = row.tail;
    await session.query(`DROP INDEX pg_temp.${PROBE}`);
  }
}

/**
 * Two predicates may mean the same in different text. Where the planner proves an existing and a declared predicate
 * from each other, the existing form takes the declared text. @param count how many of `forms`, from the first, are
 * existing
 */
async function unifyPredicates(
  session: IndexSession,
  declared: readonly (Probed | Error)[],
  forms: (Probed | Error)[],
  count: number,
): Promise<void> {
  for (const wanted of declared) {
    if (wanted instanceof Error || !wanted.form["predicate"]) continue;
    for (const [at, found] of forms.slice(0, count).entries()) {
      if (found instanceof Error || !found.form["predicate"]) continue;
      const inWords = { ...found.form, predicate: wanted.form["predicate"] };
      if (sameForm(wanted.form, found.form) || !sameForm(wanted.form, inWords)) continue;
      const [a, b] = [wanted.form["predicate"], found.form["predicate"]];
      if ((await implies(session, a, b)) && (await implies(session, b, a))) forms[at] = { ...found, form: inWords };
    }
  }
}

/** Would the planner use an index with the predicate `wide` for a query that says `narrow`? */
async function implies(session: IndexSession, narrow: string, wide: string): Promise<boolean> {
  await session.query("SAVEPOINT probe");
  try {
    await session.query(`CREATE INDEX ${PROBE} ON pg_temp.${CLONE} ((1)) WHERE ${wide}`);
    await session.query("SET LOCAL enable_seqscan = off");
    const plan = await session.query(`EXPLAIN (FORMAT JSON) SELECT 1 FROM pg_temp.${CLONE} WHERE ${narrow}`);
    return JSON.stringify(plan).includes(`"${PROBE}"`);
  } finally {
    await session.query("ROLLBACK TO SAVEPOINT probe");
  }
}

/** The server's error about a definition. Any other error (a lost connection, a timeout) is thrown. */
function asDefinitionError(error: unknown): Error {
  if (!(error instanceof pg.DatabaseError) || !/^(42|22|0A|54)/.test(error.code ?? "")) throw error;
  return error;
}

const KINDS: Readonly<Record<string, string>> = {
  p: "it is partitioned, which is not supported yet",
  v: "it is a view",
  f: "it is a foreign table",
};

/** Another role's build has its columns hidden. It counts as a build on this table, which at worst costs waiting. */
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
         CASE WHEN EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = c.oid AND k.contype IN ('p', 'u', 'x')) THEN 'constraint'
              WHEN EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = c.oid AND k.contype = 'f') THEN 'foreign key'
              WHEN i.indisreplident THEN 'replica identity' WHEN i.indisclustered THEN 'clustering'
              WHEN i.indisunique THEN 'unique' END AS guards,
         ${BELONGINGS} AS belongings, c.oid AS oid,
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

/** Parts of the catalog, without names, tablespaces and column numbers: those may differ between equal indexes. */
const FORM = `
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
           'predicate', coalesce(pg_get_expr(i.indpred, i.indrelid), '')) AS form,
         CASE WHEN a.amname = 'btree' THEN json_build_object(
           'keys', k.forth, 'opposite', k.back, 'columns', k.plain,
           'include', (SELECT coalesce(json_agg(pg_get_indexdef(c.oid, n, false)), '[]') FROM generate_series(i.indnkeyatts + 1, i.indnatts) n),
           'holds', coalesce(pg_get_expr(i.indpred, i.indrelid), ''), 'collatesAsOne', false) END AS "order"
    FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid JOIN pg_am a ON a.oid = c.relam
   CROSS JOIN LATERAL (
     SELECT json_agg(concat_ws(' ', e.plain, i.indclass[e.n - 1], i.indcollation[e.n - 1], i.indoption[e.n - 1]) ORDER BY e.n) AS forth,
            json_agg(concat_ws(' ', e.plain, i.indclass[e.n - 1], i.indcollation[e.n - 1], i.indoption[e.n - 1] # 3) ORDER BY e.n) AS back,
            json_agg(e.plain ORDER BY e.n) AS plain
       FROM (SELECT n, pg_get_indexdef(c.oid, n, false) AS plain FROM generate_series(1, i.indnkeyatts) n) e) k
   WHERE c.oid = to_regclass('pg_temp.${PROBE}')`;
