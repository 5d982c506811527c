import { tableOf } from "./ddl.ts";
import type { IndexSession } from "./session.ts";

/** The identity and the size of an index. */
export interface IndexSize {
  readonly oid: number;
  readonly bytes: number;
  /** as counted by its build or the last ANALYZE or VACUUM */
  readonly entries: number;
}

/** @throws if the index does not exist */
export async function sizeOf(session: IndexSession, target: string, name: string): Promise<IndexSize> {
  const { schema } = tableOf(target);
  const [row] = await session.query<{ oid: string; bytes: string; entries: string }>(SIZE, [schema, name]);
  if (!row) throw new Error(`the index ${name} does not exist any more`);
  return { oid: Number(row.oid), bytes: Number(row.bytes), entries: Number(row.entries) };
}

const SIZE = `
  SELECT c.oid::text AS oid, pg_relation_size(c.oid)::text AS bytes, greatest(c.reltuples, 0)::bigint::text AS entries
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname = $1 AND c.relname = $2`;
