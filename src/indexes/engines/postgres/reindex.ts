/**
 * Rebuilds an index of PostgreSQL with REINDEX CONCURRENTLY, under the keeper's lock, and clears up after a failure. A
 * failed REINDEX leaves an invalid `<name>_ccnew` or `<name>_ccold`, and somebody else's REINDEX does the same. So the
 * journal records the invalid indexes from before, and only later ones are dropped, by the next run if this process
 * dies.
 */
import pg from "pg";
import { messageOf } from "../engine.ts";
import { dropStatement, REBUILD_ENDING, tableOf } from "./ddl.ts";
import { CLEAR_UP_PATIENCE_MS, type IndexSession } from "./session.ts";
import { sizeOf, type IndexSize } from "./size.ts";
import { NAME_BYTES } from "../../manifest/reserved.ts";
import type { BuildWindow } from "../figures.ts";

interface Invalid {
  readonly oid: string;
  readonly name: string;
}

/** Creates the journal if it does not exist. Under the keeper's lock, so that no two processes create it at once. */
export async function openJournal(session: IndexSession): Promise<void> {
  const [table] = await session.query<{ there: boolean }>("SELECT to_regclass($1) IS NOT NULL AS there", [
    session.tables.journal,
  ]);
  if (table?.there === true) return;
  await session.query(`
    CREATE TABLE IF NOT EXISTS ${session.tables.journal} (
      target text, name text, spared text[] NOT NULL, started_at timestamptz NOT NULL, finished_at timestamptz, error text,
      bytes_before bigint, bytes_after bigint, PRIMARY KEY (target, name))`);
}

/** Does the journal exist, and may this role read it? to_regclass would fail without the right to use the schema. */
async function isReadable(session: IndexSession): Promise<boolean> {
  const rows = await session.query(
    `SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE quote_ident(n.nspname) || '.' || quote_ident(c.relname) = $1
        AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')`,
    [session.tables.journal],
  );
  return rows.length > 0;
}

/** By target: when its indexes were rebuilt. The server counts a rebuild's read of the table as a scan. */
export async function reindexWindows(session: IndexSession): Promise<Map<string, BuildWindow[]>> {
  if (!(await isReadable(session))) return new Map();
  const rows = await session.query<{ target: string; from: Date; to: Date | null }>(
    `SELECT target, started_at AS "from", finished_at AS "to" FROM ${session.tables.journal}`,
  );
  const windows = new Map<string, BuildWindow[]>();
  for (const { target, from, to } of rows) {
    const window = { from: from.toISOString(), to: to?.toISOString() ?? null };
    windows.set(target, [...(windows.get(target) ?? []), window]);
  }
  return windows;
}

/** Names of the leftovers of rebuilds whose process died, without those of other people. */
export async function ownLeftovers(session: IndexSession, target: string): Promise<string[]> {
  if (!(await isReadable(session))) return [];
  const tries = await session.query<{ name: string; spared: string[] }>(
    `SELECT name, spared FROM ${session.tables.journal} WHERE target = $1 AND finished_at IS NULL`,
    [target],
  );
  if (tries.length === 0) return [];
  const invalid = await invalidIndexes(session, target);
  return tries.flatMap(({ name, spared }) => leftoversOf(name, new Set(spared), invalid));
}

/** Drops the leftovers and closes the open entries of the journal. */
export async function clearLeftovers(
  session: IndexSession,
  target: string,
  leftovers: readonly string[],
): Promise<void> {
  for (const name of leftovers) await drop(session, target, name);
  await session.query(
    `UPDATE ${session.tables.journal} SET finished_at = clock_timestamp(), error = 'interrupted' WHERE target = $1 AND finished_at IS NULL`,
    [target],
  );
}

/**
 * Rebuilds the index, then analyzes the table. `openJournal` must have been called.
 *
 * @returns oid and size of the rebuilt index, which has a new oid
 * @throws the server's error, after the leftover was dropped; if that failed too, the message says so
 */
export async function reindex(
  session: IndexSession,
  target: string,
  name: string,
  bytesBefore: number,
): Promise<IndexSize> {
  const { schema, quoted } = tableOf(target);
  const before = new Set((await invalidIndexes(session, target)).map(({ oid }) => oid));
  await session.query(
    `INSERT INTO ${session.tables.journal} (target, name, spared, started_at, bytes_before) VALUES ($1, $2, $3::text[], clock_timestamp(), $4)
     ON CONFLICT (target, name) DO UPDATE
        SET spared = EXCLUDED.spared, started_at = EXCLUDED.started_at, finished_at = NULL, error = NULL,
            bytes_before = EXCLUDED.bytes_before, bytes_after = NULL`,
    [target, name, [...before], bytesBefore],
  );
  const index = `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`;
  try {
    await session.runWatched(`${target} ${name} (rebuilding)`, `REINDEX INDEX CONCURRENTLY ${index}`);
  } catch (error) {
    throw await clearUp(session, target, name, before, error);
  }
  await session.runWatched(`${target} (analyze)`, `ANALYZE ${quoted}`);
  const size = await sizeOf(session, target, name);
  await end(session, target, name, { bytes: size.bytes });
  return size;
}

async function clearUp(
  session: IndexSession,
  target: string,
  name: string,
  before: ReadonlySet<string>,
  cause: unknown,
): Promise<Error> {
  const reason = messageOf(cause);
  try {
    // The server may still be rebuilding. It holds the lock until it is done, and only then are its leftovers known.
    if (!(await session.alive())) await session.reopen();
    const leftovers = leftoversOf(name, before, await invalidIndexes(session, target));
    for (const leftover of leftovers) await drop(session, target, leftover, CLEAR_UP_PATIENCE_MS);
    await end(session, target, name, { error: reason });
    return new Error(reason, { cause });
  } catch (error) {
    return new Error(`${reason}; the next run drops the invalid index that may be left (${messageOf(error)})`, {
      cause,
    });
  }
}

async function end(
  session: IndexSession,
  target: string,
  name: string,
  { bytes, error }: { readonly bytes?: number; readonly error?: string },
): Promise<void> {
  await session.query(
    `UPDATE ${session.tables.journal} SET finished_at = clock_timestamp(), bytes_after = $3, error = $4 WHERE target = $1 AND name = $2`,
    [target, name, bytes ?? null, error ?? null],
  );
}

async function drop(session: IndexSession, target: string, name: string, patienceMs?: number): Promise<void> {
  await session.runWatched(`${target} ${name} (dropping a leftover)`, dropStatement(target, name), patienceMs);
}

/** The invalid indexes that a REINDEX of this index left, but those in `spared`. Pure. */
export function leftoversOf(name: string, spared: ReadonlySet<string>, invalid: readonly Invalid[]): string[] {
  return invalid
    .filter((index) => {
      const suffix = REBUILD_ENDING.exec(index.name)?.[0];
      return suffix !== undefined && suffixed(name, suffix) === index.name && !spared.has(index.oid);
    })
    .map((index) => index.name);
}

/** As PostgreSQL does it: the name is cut so that name and suffix fit into 63 bytes. */
function suffixed(name: string, suffix: string): string {
  const letters = [...name];
  while (Buffer.byteLength(letters.join("") + suffix) > NAME_BYTES) letters.pop();
  return letters.join("") + suffix;
}

async function invalidIndexes(session: IndexSession, target: string): Promise<Invalid[]> {
  const { schema, table } = tableOf(target);
  return session.query<{ oid: string; name: string }>(INVALID, [schema, table]);
}

const INVALID = `
  SELECT c.oid::text AS oid, c.relname AS name
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_class t ON t.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = t.relnamespace
   WHERE n.nspname = $1 AND t.relname = $2 AND NOT i.indisvalid`;
