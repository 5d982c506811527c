/**
 * The indexes of a PostgreSQL table, beside the declared ones: both in their normal form, and with what the keeper must
 * know to bring an index back.
 */
import type { PostgresIndex } from "../../manifest/manifest.ts";
import {
  BELONGINGS,
  formerText,
  PARTITIONS,
  splitComment,
  type Belongings,
  type FormerPartition,
} from "./belongings.ts";
import { declaredDefinition, definitionText, REBUILD_ENDING, tableOf } from "./ddl.ts";
import { looseName } from "./partitions/names.ts";
import type { IndexSession } from "./session.ts";
import { LOOK_LOCK_TIMEOUT, onClone, partitionFault, unifyPredicates } from "./normal-forms.ts";
import type { ActualIndex, DeclaredForm, Duty, Observation, Parts } from "../../decision/observation.ts";

interface IndexRow {
  name: string;
  tail: string | null;
  unique: boolean;
  valid: boolean;
  building: boolean;
  constraint: "primary" | "unique" | null;
  guards: Duty | null;
  belongings: Belongings;
  /** null for an index of one table */
  partitions: readonly FormerPartition[] | null;
  /** how many partitions it has an index in, and how many there are; null for an index of one table */
  parts: Parts | null;
  oid: string;
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
  if (kind !== "r" && kind !== "m" && kind !== "p") {
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
    const { unique, tail, belongings, parts, partitions } = row;
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
        : {
            definition: formerText({
              definition: definitionText({ unique, tail }),
              ...belongings,
              ...(partitions === null ? {} : { partitions }),
            }),
          }),
      ...(parts === null ? {} : { parts }),
      ...(mark === undefined ? {} : { mark }),
      oid: Number(row.oid),
    };
  });
  const faults = new Map<string, Error>();
  for (const index of kind === "p" ? declared : []) {
    const fault = index.constraint === undefined && (await partitionFault(session, table, declaredDefinition(index)));
    if (fault) faults.set(index.name, fault);
  }
  const declaredShapes = declared.map((index, at): [string, DeclaredForm | Error] => {
    const probed = faults.get(index.name) ?? forms[rows.length + at] ?? new Error("no form");
    if (probed instanceof Error) return [index.name, probed];
    return [
      index.name,
      { name: index.name, form: probed.form, ...(index.constraint ? { constraint: index.constraint } : {}) },
    ];
  });
  return {
    actual,
    declared: new Map(declaredShapes),
    ...(kind === "p" ? { isPartitioned: true, begun: await begunIn(session, target, names) } : {}),
    rules: { taken: new Map(taken.map(({ name, what }) => [name, what])) },
    busy: relation?.busy === true,
  };
}

/** By declared name: how many partitions have their index already, although the whole table has none yet. */
async function begunIn(session: IndexSession, target: string, names: readonly string[]): Promise<Map<string, Parts>> {
  const { schema, table } = tableOf(target);
  const leaves = await session.query<{ schema: string; table: string; names: string[] }>(LEAVES, [schema, table]);
  const counts = names.map((name): [string, Parts] => {
    const done = leaves.filter((leaf) =>
      leaf.names.includes(looseName({ target, name }, leaf.schema, leaf.table)),
    ).length;
    return [name, { done, of: leaves.length }];
  });
  return new Map(counts.filter(([, { done }]) => done > 0));
}

const KINDS: Readonly<Record<string, string>> = {
  v: "it is a view",
  f: "it is a foreign table",
};

/** Another role's build has its columns hidden. It counts as a build on this table, which at worst costs waiting. */
const BUILDS_HERE = `p.datname = current_database() AND p.pid <> pg_backend_pid() AND (p.relid IS NULL OR p.relid = t.oid OR p.relid IN (SELECT relid FROM pg_partition_tree(t.oid)))`;

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
         ${BELONGINGS} AS belongings, CASE WHEN c.relkind = 'I' THEN coalesce(${PARTITIONS}, '[]') END AS partitions,
         CASE WHEN c.relkind = 'I' THEN (SELECT json_build_object(
           'done', (SELECT count(*) FROM pg_partition_tree(c.oid) x WHERE x.isleaf AND x.level > 0),
           'of', (SELECT count(*) FROM pg_partition_tree(t.oid) x WHERE x.isleaf AND x.level > 0))) END AS parts,
         c.oid AS oid,
         CASE WHEN starts_with(d.def, d.head) THEN substr(d.def, length(d.head) + 1) END AS tail
    FROM pg_class t
    JOIN pg_namespace n ON n.oid = t.relnamespace
    JOIN pg_index i ON i.indrelid = t.oid
    JOIN pg_class c ON c.oid = i.indexrelid
    CROSS JOIN LATERAL (SELECT pg_get_indexdef(c.oid) AS def,
      format('CREATE %sINDEX %I ON %s%I.%I ', CASE WHEN i.indisunique THEN 'UNIQUE ' END, c.relname,
             CASE WHEN c.relkind = 'I' THEN 'ONLY ' END, n.nspname, t.relname) AS head) d
   WHERE n.nspname = $1 AND t.relname = $2
   ORDER BY c.relname`;

const TAKEN = `
  SELECT c.relname AS name,
         CASE WHEN i.indrelid IS NULL THEN 'another relation' ELSE 'an index of ' || i.indrelid::regclass::text END AS what
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_index i ON i.indexrelid = c.oid
   WHERE n.nspname = $1 AND c.relname = ANY ($3::text[])
     AND i.indrelid IS DISTINCT FROM (SELECT t.oid FROM pg_class t WHERE t.relnamespace = n.oid AND t.relname = $2)`;

/** The partitions with the names of their valid indexes. */
const LEAVES = `
  SELECT pn.nspname AS schema, p.relname AS table,
         ARRAY(SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                WHERE i.indrelid = p.oid AND i.indisvalid) AS names
    FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace CROSS JOIN LATERAL pg_partition_tree(t.oid) x
    JOIN pg_class p ON p.oid = x.relid JOIN pg_namespace pn ON pn.oid = p.relnamespace
   WHERE n.nspname = $1 AND t.relname = $2 AND x.isleaf AND x.level > 0`;
