import { tableOf } from "./ddl.ts";
import type { IndexSession } from "./session.ts";

/** How large an index is, and which one it is. */
export interface IndexSize {
  readonly oid: number;
  readonly bytes: number;
  /** as its build, or the last ANALYZE or VACUUM, counted them */
  readonly entries: number;
}

/** @throws where there is no such index */
export async function sizeOf(session: IndexSession, target: string, name: string): Promise<IndexSize> {
  const { schema } = tableOf(target);
  const [row] = await session.query<{ oid: string; bytes: string; entries: string }>(SIZE, [schema, name]);
  if (!row) throw new Error(`${name} is gone`);
  return { oid: Number(row.oid), bytes: Number(row.bytes), entries: Number(row.entries) };
}

const SIZE = `
  SELECT c.oid::text AS oid, pg_relation_size(c.oid)::text AS bytes, greatest(c.reltuples, 0)::bigint::text AS entries
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname = $1 AND c.relname = $2`;
