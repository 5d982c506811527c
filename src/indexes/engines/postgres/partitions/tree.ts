/** A partitioned table with its partitions at any depth, and what each has of one index of the whole table. */
import { REPLACED, REPLACEMENT } from "../../../manifest/reserved.ts";
import { sameForm } from "../../../decision/normal-form.ts";
import { normalForms } from "../normal-forms.ts";
import { definitionText, parseDefinition, tableOf } from "../ddl.ts";
import type { IndexSession } from "../session.ts";
import { looseName, type TreeIndex } from "./names.ts";

/** One table of the tree. */
export interface Part {
  readonly oid: string;
  /** null for the whole table */
  readonly parent: string | null;
  readonly schema: string;
  readonly table: string;
  readonly isPartitioned: boolean;
  /** its part of the index; null where it has none yet */
  readonly attached: { readonly name: string; readonly valid: boolean; readonly comment: string | null } | null;
  /** built and not attached yet */
  readonly loose: LooseIndex | undefined;
  /** an equal index that was there before, to be attached instead of a new one */
  readonly twin: LooseIndex | undefined;
}

export interface LooseIndex {
  readonly name: string;
  readonly comment: string | null;
  /** it is valid and has the definition of the whole table's index */
  readonly isUsable: boolean;
}

interface Row extends Omit<Part, "loose" | "twin"> {
  readonly others: readonly OtherIndex[];
}

interface OtherIndex {
  readonly name: string;
  readonly comment: string | null;
  readonly valid: boolean;
  readonly unique: boolean;
  readonly tail: string;
  /** it belongs to a constraint, is a replica identity or has the CLUSTER mark, so no copy could take its place */
  readonly isBound: boolean;
}

/** The whole table first, every table after its parent. @param known the comparisons made so far, by definition */
export async function readTree(
  session: IndexSession,
  index: TreeIndex,
  known: Map<string, boolean>,
): Promise<readonly Part[]> {
  const { schema, table } = tableOf(index.target);
  const rows = await session.query<Row>(TREE, [schema, table, index.name]);
  const isOwn = (row: Row, name: string) => name === looseName(index, row.schema, row.table);
  const isTemporary = (name: string) => name.endsWith(REPLACEMENT) || name.endsWith(REPLACED);
  const texts = rows.flatMap((row) =>
    row.others
      .filter(({ name, isBound }) => isOwn(row, name) || (!isBound && !isTemporary(name)))
      .map(({ unique, tail }) => definitionText({ unique, tail })),
  );
  await compareAll(session, index, texts, known);
  const usable = (other: OtherIndex): LooseIndex => ({
    ...{ name: other.name, comment: other.comment },
    isUsable: other.valid && known.get(definitionText(other)) === true,
  });
  return rows.map(({ others, ...part }): Part => {
    const row = { ...part, others };
    const own = others.find(({ name }) => isOwn(row, name));
    const twins = others.filter(({ name, isBound }) => !isBound && !isTemporary(name)).map(usable);
    const twin = part.isPartitioned || part.parent === null ? undefined : twins.find(({ isUsable }) => isUsable);
    return { ...part, loose: own && usable(own), twin };
  });
}

async function compareAll(
  session: IndexSession,
  { target, definition }: TreeIndex,
  texts: readonly string[],
  known: Map<string, boolean>,
): Promise<void> {
  const fresh = [...new Set(texts)].filter((text) => !known.has(text));
  if (fresh.length === 0) return;
  const [wanted, ...forms] = await normalForms(session, target, [definition, ...fresh.map(parseDefinition)]);
  for (const [at, text] of fresh.entries()) {
    const form = forms[at];
    known.set(text, wanted !== undefined && form !== undefined && sameForm(wanted, form));
  }
}

/** A detached partition that is still being detached counts no more, as for the server. */
const TREE = `
  WITH RECURSIVE tree AS (
    SELECT t.oid AS relid, NULL::oid AS parent, 0 AS depth,
           (SELECT i.indexrelid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
             WHERE i.indrelid = t.oid AND c.relname = $3) AS index
      FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace WHERE n.nspname = $1 AND t.relname = $2
    UNION ALL
    SELECT h.inhrelid, h.inhparent, tree.depth + 1,
           (SELECT i.indexrelid FROM pg_index i JOIN pg_inherits a ON a.inhrelid = i.indexrelid
             WHERE i.indrelid = h.inhrelid AND a.inhparent = tree.index)
      FROM tree JOIN pg_inherits h ON h.inhparent = tree.relid AND NOT h.inhdetachpending)
  SELECT tree.relid::text AS oid, tree.parent::text AS parent, n.nspname AS schema, t.relname AS table,
         t.relkind = 'p' AS "isPartitioned",
         (SELECT json_build_object('name', c.relname, 'valid', i.indisvalid, 'comment', obj_description(c.oid, 'pg_class'))
            FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid WHERE c.oid = tree.index) AS attached,
         (SELECT coalesce(json_agg(json_build_object(
                   'name', c.relname, 'valid', i.indisvalid, 'unique', i.indisunique, 'tail', d.tail,
                   'comment', obj_description(c.oid, 'pg_class'),
                   'isBound', i.indisreplident OR i.indisclustered
                     OR EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = c.oid)
                     OR EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid
                                                          AND e.refclassid = 'pg_extension'::regclass)) ORDER BY c.relname), '[]')
            FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
           CROSS JOIN LATERAL (SELECT pg_get_indexdef(c.oid) AS def,
             format('CREATE %sINDEX %I ON %I.%I ', CASE WHEN i.indisunique THEN 'UNIQUE ' END, c.relname, n.nspname, t.relname) AS head) h
           CROSS JOIN LATERAL (SELECT substr(h.def, length(h.head) + 1) AS tail WHERE starts_with(h.def, h.head)) d
           WHERE i.indrelid = tree.relid AND tree.parent IS NOT NULL AND c.relkind = 'i'
             AND NOT EXISTS (SELECT FROM pg_inherits a WHERE a.inhrelid = c.oid)) AS others
    FROM tree JOIN pg_class t ON t.oid = tree.relid JOIN pg_namespace n ON n.oid = t.relnamespace
   ORDER BY tree.depth, n.nspname, t.relname`;
