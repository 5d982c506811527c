/**
 * The normal form of a definition, in the server's own text. The text of a definition is no fixed point: an index built
 * from its own definition may be written differently (`varchar IN (...)` changes twice), so tools that compare texts
 * rebuild for ever. Here definitions are created on an empty temporary clone of the table, repeatedly until the text no
 * longer changes, and then compared by the parts in the catalog.
 */
import pg from "pg";
import type { KeyOrder } from "../../decision/observation.ts";
import { sameForm, type NormalForm } from "../../decision/normal-form.ts";
import { tableOf, type Definition, type Table } from "./ddl.ts";
import type { IndexSession } from "./session.ts";

const CLONE = "tallyman_clone";
const PARTITIONED_CLONE = "tallyman_parts";
const PROBE = "tallyman_probe";
const INVALID_DEFINITION = "42P17";
const MAX_ROUNDS = 4;
/** How long a look waits for somebody's DDL: builds wait for its snapshot. */
export const LOOK_LOCK_TIMEOUT = "2s";

export interface Probed {
  readonly form: NormalForm;
  readonly order: KeyOrder | null;
}

/**
 * The normal forms of definitions, in their order; undefined for one that cannot be built on the table. Predicates that
 * mean the same as that of the first definition are in its words.
 */
export async function normalForms(
  session: IndexSession,
  target: string,
  definitions: readonly Definition[],
): Promise<readonly (NormalForm | undefined)[]> {
  await session.query("BEGIN");
  try {
    await session.query(`SET LOCAL lock_timeout = '${LOOK_LOCK_TIMEOUT}'`);
    const [wanted, ...others] = await onClone(session, tableOf(target), definitions);
    if (!wanted) return [];
    await unifyPredicates(session, [wanted], others, others.length);
    return [wanted, ...others].map((form) => (form instanceof Error ? undefined : form.form));
  } finally {
    await session.query("ROLLBACK").catch(() => undefined);
  }
}

/**
 * Why a partitioned table cannot have this index, in the server's words: a unique one must have the partition key, that
 * of every level. Asked on empty temporary tables with the same partition keys. To be called within a transaction.
 */
export async function partitionFault(
  session: IndexSession,
  { schema, table }: Table,
  { unique, tail }: Definition,
): Promise<Error | undefined> {
  if (!unique) return undefined; // the plain clone answers for all others
  const tables = await session.query<{ quoted: string; key: string }>(PARTITION_KEYS, [schema, table]);
  const faults: string[] = [];
  for (const { quoted, key } of tables) {
    await session.query("SAVEPOINT probe");
    try {
      await session.query(
        `CREATE TEMP TABLE ${PARTITIONED_CLONE} (LIKE ${quoted} INCLUDING GENERATED) PARTITION BY ${key}`,
      );
      await session.query(`CREATE UNIQUE INDEX ON pg_temp.${PARTITIONED_CLONE} ${tail}`);
    } catch (error) {
      const { message } = asDefinitionError(error);
      faults.push(`${message}: ${quoted} is partitioned by ${key}`);
    } finally {
      await session.query("ROLLBACK TO SAVEPOINT probe");
    }
  }
  if (faults.length === 0) return undefined;
  const fix = "Add these columns to the index's keys, or declare it on each partition";
  return new Error([...faults, fix].join(". "));
}

/** The normal forms, in the order of the definitions. The clone is dropped at the end of the transaction. */
export async function onClone(
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
export async function unifyPredicates(
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
  // The keyword is in the message in every language.
  if (error.code !== INVALID_DEFINITION || !error.message.includes("IMMUTABLE")) return error;
  const why = "a predicate or key that depends on the clock, on chance or on a setting is one that no index can follow";
  return new Error(`${error.message}: ${why}. Index all rows, or declare a window of time as rolling`, {
    cause: error,
  });
}

const PARTITION_KEYS = `
  SELECT DISTINCT ON (key) format('%I.%I', pn.nspname, p.relname) AS quoted, pg_get_partkeydef(p.oid) AS key
    FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace CROSS JOIN LATERAL pg_partition_tree(t.oid) x
    JOIN pg_class p ON p.oid = x.relid JOIN pg_namespace pn ON pn.oid = p.relnamespace
   WHERE n.nspname = $1 AND t.relname = $2 AND p.relkind = 'p'`;

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
