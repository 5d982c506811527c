/**
 * Every question to be asked before the first statement of a change, so that no change stops half-way: what the server
 * would refuse in any of its steps, with what to do about it. A new reason is one more entry in QUESTIONS.
 */
import pg from "pg";
import type { PostgresIndex } from "../../manifest/manifest.ts";
import { REPLACED, REPLACEMENT } from "../../manifest/reserved.ts";
import type { Change } from "../engine.ts";
import { parseFormer } from "./belongings.ts";
import { besideName, tableOf } from "./ddl.ts";
import type { IndexSession } from "./session.ts";

type Does = Change["does"];

/** What the catalog says about the table and the index. */
interface Facts {
  readonly role: string;
  readonly owner: string;
  readonly isOwner: boolean;
  readonly mayCreate: boolean;
  readonly isCatalog: boolean;
  /** the relations, other than indexes of this table, that have one of the names that a replacement uses */
  readonly taken: readonly string[];
  /** the partitions that are foreign tables */
  readonly foreign: readonly string[];
  /** null: there is no index of that name */
  readonly index: IndexFacts | null;
  /** of the tablespace that the new index is to be built in; null where that is the default one */
  readonly tablespace: { readonly exists: boolean; readonly isAllowed: boolean } | null;
}

interface IndexFacts {
  readonly parent: { readonly index: string; readonly table: string } | null;
  readonly isConstraint: boolean;
  readonly isForeignKey: boolean;
  readonly isIdentity: boolean;
  readonly isClustered: boolean;
  /** it is dropped with these: `member` as a part of the extension, else by DEPENDS ON EXTENSION */
  readonly extensions: readonly { readonly name: string; readonly member: boolean }[];
  /** other objects that need it, in the server's words */
  readonly dependents: readonly string[];
}

interface Asked {
  readonly change: Change;
  readonly facts: Facts;
  readonly index: IndexFacts | null;
  readonly schema: string;
  readonly tablespace: string | undefined;
  /** undefined for an index that is not declared */
  readonly wanted: PostgresIndex | undefined;
}

interface Question {
  readonly of: readonly Does[];
  /** @returns what stands in the way and what to do, as a sentence without its period */
  readonly ask: (asked: Asked) => string | false | null | undefined;
}

const MAKES: readonly Does[] = ["create", "replace", "restore"];
const DROPS: readonly Does[] = ["replace", "restore", "drop"];
const SWAPS: readonly Does[] = ["replace", "restore"];
const ALL: readonly Does[] = ["create", ...DROPS];

const QUESTIONS: readonly Question[] = [
  {
    of: ALL,
    ask: ({ facts, change }) =>
      facts.isCatalog && `${change.target} belongs to the server's catalog, whose indexes cannot be changed online`,
  },
  {
    of: ALL,
    ask: ({ facts: { isOwner, owner, role }, change }) =>
      !isOwner &&
      `only the owner of ${change.target} can change its indexes; let an owner run: GRANT ${owner} TO ${role}`,
  },
  {
    of: MAKES,
    ask: ({ facts: { mayCreate, role }, schema }) =>
      !mayCreate &&
      `${role} may create nothing in the schema ${schema}; let its owner run: GRANT USAGE, CREATE ON SCHEMA ${pg.escapeIdentifier(schema)} TO ${role}`,
  },
  {
    of: MAKES,
    ask: ({ facts: { foreign }, change }) =>
      foreign.length > 0 &&
      `${change.target} has partitions that are foreign tables, which have no indexes, and its own index would stay invalid for ever: ${foreign.join(", ")}; declare the index on each of the other partitions`,
  },
  {
    of: DROPS,
    ask: ({ index, change }) =>
      index?.parent &&
      `${change.name} is attached to ${index.parent.index}, an index of the partitioned table ${index.parent.table}, and can change only together with it: declare it there, under postgres: ${index.parent.table}`,
  },
  {
    of: DROPS,
    ask: ({ index, change }) =>
      index?.isConstraint &&
      `${change.name} belongs to a constraint, which only a migration can move: CREATE UNIQUE INDEX CONCURRENTLY ..., then ALTER TABLE ... DROP CONSTRAINT ..., ADD CONSTRAINT ... USING INDEX ...`,
  },
  {
    of: DROPS,
    ask: ({ index, change }) =>
      index?.isForeignKey &&
      `${change.name} is used by a foreign key, which only a migration can move: CREATE UNIQUE INDEX CONCURRENTLY ..., then ALTER TABLE ... DROP CONSTRAINT ..., ADD FOREIGN KEY ... NOT VALID, VALIDATE CONSTRAINT ...`,
  },
  {
    of: DROPS,
    ask: ({ index, change }) =>
      index?.isIdentity &&
      `${change.name} is the table's replica identity, which only a migration can move: CREATE UNIQUE INDEX CONCURRENTLY ..., then ALTER TABLE ... REPLICA IDENTITY USING INDEX ...`,
  },
  {
    of: DROPS,
    ask: ({ index, change }) => {
      const owner = index?.extensions.find(({ member }) => member);
      return (
        owner && `${change.name} is a part of the extension ${owner.name}: only that extension's scripts can drop it`
      );
    },
  },
  {
    of: SWAPS,
    ask: ({ index, change }) => {
      const other = index?.extensions.find(({ member }) => !member);
      if (!other) return undefined;
      const alter = `ALTER INDEX ${change.name}`;
      return `${change.name} is dropped together with the extension ${other.name}, and its successor would not be: ${alter} NO DEPENDS ON EXTENSION ${other.name}, replace it, then ${alter} DEPENDS ON EXTENSION ${other.name}`;
    },
  },
  {
    of: DROPS,
    ask: ({ index, change }) =>
      index !== null &&
      index.dependents.length > 0 &&
      `${change.name} cannot be dropped, since these need it: ${index.dependents.join(", ")}`,
  },
  {
    of: ["replace"],
    ask: ({ index, change, wanted }) => {
      if (!index?.isClustered || !wanted || isClusterable(wanted)) return undefined;
      return `${change.name} has the CLUSTER mark of ${change.target}, which no partial index and only btree and gist can have: ALTER TABLE ... SET WITHOUT CLUSTER, or CLUSTER ON another index`;
    },
  },
  {
    of: SWAPS,
    ask: ({ facts: { taken } }) =>
      taken.length > 0 &&
      `a replacement uses these names, which belong to something else: ${taken.join(", ")}; rename them`,
  },
  {
    of: SWAPS,
    ask: ({ facts, tablespace }) =>
      facts.tablespace?.exists === false &&
      `the index was in the tablespace ${tablespace ?? ""}, which does not exist any more`,
  },
  {
    of: SWAPS,
    ask: ({ facts, tablespace = "" }) =>
      facts.tablespace?.exists === true &&
      !facts.tablespace.isAllowed &&
      `${facts.role} may create nothing in the index's tablespace; let its owner run: GRANT CREATE ON TABLESPACE ${pg.escapeIdentifier(tablespace)} TO ${facts.role}`,
  },
  {
    of: ["replace"],
    ask: ({ change }) =>
      change.found?.definition === undefined && "its definition cannot be read, so a rollback could not bring it back",
  },
];

/** @returns everything that stands in the way of the change, as one text; undefined if nothing does */
export async function objectionTo(
  session: IndexSession,
  change: Change,
  wanted: PostgresIndex | undefined,
): Promise<string | undefined> {
  const { target, name, does } = change;
  const { schema, table } = tableOf(target);
  const { tablespace } = parseFormer((does === "restore" ? change.previous : change.found?.definition) ?? "");
  const beside = [REPLACEMENT, REPLACED].map((suffix) => besideName(name, suffix));
  const [facts] = await session.query<Facts>(FACTS, [schema, table, name, beside, tablespace ?? null]);
  if (!facts) return undefined; // what is to be done without a table is decided elsewhere
  const asked: Asked = { change, facts, index: facts.index, schema, tablespace, wanted };
  const reasons = QUESTIONS.filter(({ of }) => of.includes(does)).flatMap(({ ask }) => ask(asked) || []);
  return reasons.length === 0 ? undefined : `${reasons.join(". ")}.`;
}

function isClusterable({ method = "btree", where }: PostgresIndex): boolean {
  return (method === "btree" || method === "gist") && where === undefined;
}

const FACTS = `
  SELECT quote_ident(current_user) AS role, quote_ident(pg_get_userbyid(t.relowner)) AS owner,
         pg_has_role(t.relowner, 'USAGE') AS "isOwner", has_schema_privilege(n.oid, 'CREATE') AS "mayCreate",
         n.nspname IN ('pg_catalog', 'pg_toast') AS "isCatalog",
         ARRAY(SELECT r.relname::text FROM pg_class r LEFT JOIN pg_index o ON o.indexrelid = r.oid
                WHERE r.relnamespace = n.oid AND r.relname = ANY ($4::text[]) AND o.indrelid IS DISTINCT FROM t.oid) AS taken,
         ARRAY(SELECT f.oid::regclass::text FROM pg_partition_tree(t.oid) x JOIN pg_class f ON f.oid = x.relid
                WHERE f.relkind = 'f' ORDER BY 1) AS foreign,
         CASE WHEN $5::text IS NOT NULL THEN json_build_object(
           'exists', EXISTS (SELECT FROM pg_tablespace WHERE spcname = $5),
           'isAllowed', (SELECT has_tablespace_privilege(s.oid, 'CREATE') FROM pg_tablespace s WHERE s.spcname = $5)) END AS tablespace,
         (SELECT json_build_object(
            'parent', (SELECT json_build_object('index', p.relname, 'table', format('%s.%s', pn.nspname, pt.relname))
                         FROM pg_inherits h JOIN pg_class p ON p.oid = h.inhparent JOIN pg_index pi ON pi.indexrelid = p.oid
                         JOIN pg_class pt ON pt.oid = pi.indrelid JOIN pg_namespace pn ON pn.oid = pt.relnamespace
                        WHERE h.inhrelid = c.oid),
            'isConstraint', EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = c.oid AND k.contype IN ('p', 'u', 'x')),
            'isForeignKey', EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = c.oid AND k.contype = 'f'),
            'isIdentity', i.indisreplident, 'isClustered', i.indisclustered,
            'extensions', (SELECT coalesce(json_agg(json_build_object('name', e.extname, 'member', d.deptype = 'e')), '[]')
                             FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
                            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_extension'::regclass),
            'dependents', (SELECT coalesce(json_agg(pg_describe_object(d.classid, d.objid, d.objsubid)), '[]')
                             FROM pg_depend d
                            WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.deptype = 'n'
                              AND d.classid <> 'pg_constraint'::regclass))
            FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
           WHERE i.indrelid = t.oid AND c.relname = $3) AS index
    FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
   WHERE n.nspname = $1 AND t.relname = $2`;
