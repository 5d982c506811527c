import { tableOf } from "./ddl.ts";
import type { IndexSession } from "./session.ts";

/** The identity and the size of an index, with those of all its partitions. */
export interface IndexSize {
  readonly oid: number;
  /** it has no entries of its own, only those of its partitions */
  readonly isPartitioned: boolean;
  readonly bytes: number;
  /** as counted by its build or the last ANALYZE or VACUUM */
  readonly entries: number;
}

/** @throws if the index does not exist */
export async function sizeOf(session: IndexSession, target: string, name: string): Promise<IndexSize> {
  const { schema } = tableOf(target);
  const [row] = await session.query<{ oid: string; partitioned: boolean; bytes: string; entries: string }>(SIZE, [
    schema,
    name,
  ]);
  if (!row) throw new Error(`the index ${name} does not exist any more`);
  return {
    oid: Number(row.oid),
    isPartitioned: row.partitioned,
    bytes: Number(row.bytes),
    entries: Number(row.entries),
  };
}

const SIZE = `
  SELECT c.oid::text AS oid, c.relkind = 'I' AS partitioned, coalesce(sum(pg_relation_size(p.oid)), 0)::text AS bytes, coalesce(sum(greatest(p.reltuples, 0)), 0)::bigint::text AS entries
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   CROSS JOIN LATERAL (SELECT c.oid UNION SELECT relid FROM pg_partition_tree(c.oid)) AS x(oid)
    LEFT JOIN pg_class p ON p.oid = x.oid AND p.relkind <> 'I'
   WHERE n.nspname = $1 AND c.relname = $2
   GROUP BY c.oid, c.relkind`;
