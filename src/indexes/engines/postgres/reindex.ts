/**
 * Builds an index of PostgreSQL anew beside itself, under the keeper's lock, and clears up after a try that failed: such
 * a try leaves `<name>_ccnew` or `<name>_ccold` invalid, as would somebody else's. So what was there before is written
 * down first, and only what came since is dropped, by the next run too if this process dies.
 */
import pg from "pg";
import { messageOf } from "../engine.ts";
import { dropStatement, REBUILD_ENDING, tableOf } from "./ddl.ts";
import { CLEAR_UP_PATIENCE_MS, type IndexSession } from "./session.ts";
import { sizeOf, type IndexSize } from "./size.ts";
import { KEEPER_SCHEMA, NAME_BYTES } from "../../manifest/reserved.ts";
import type { BuildWindow } from "../figures.ts";

const JOURNAL = `${KEEPER_SCHEMA}.index_reindex`;

interface Invalid {
  readonly oid: string;
  readonly name: string;
}

/** Makes the journal if it is not there. Under the lock, so that two never do. */
export async function openJournal(session: IndexSession): Promise<void> {
  const [table] = await session.query<{ there: boolean }>("SELECT to_regclass($1) IS NOT NULL AS there", [JOURNAL]);
  if (table?.there === true) return;
  await session.query(`CREATE SCHEMA IF NOT EXISTS ${KEEPER_SCHEMA}`);
  await session.query(`
    CREATE TABLE IF NOT EXISTS ${JOURNAL} (
      target text, name text, spared text[] NOT NULL, started_at timestamptz NOT NULL, finished_at timestamptz, error text,
      bytes_before bigint, bytes_after bigint, PRIMARY KEY (target, name))`);
}

/** Is there a journal, and may this role read it? By the catalog: to_regclass is an error in a schema that is closed. */
async function isReadable(session: IndexSession): Promise<boolean> {
  const [schema, table] = JOURNAL.split(".");
  const rows = await session.query(
    `SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = $1 AND c.relname = $2
        AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')`,
    [schema, table],
  );
  return rows.length > 0;
}

/** By target: when its indexes were built anew, in which time the server counts scans that are no query's. */
export async function reindexWindows(session: IndexSession): Promise<Map<string, BuildWindow[]>> {
  if (!(await isReadable(session))) return new Map();
  const rows = await session.query<{ target: string; from: Date; to: Date | null }>(
    `SELECT target, started_at AS "from", finished_at AS "to" FROM ${JOURNAL}`,
  );
  const windows = new Map<string, BuildWindow[]>();
  for (const { target, from, to } of rows) {
    const window = { from: from.toISOString(), to: to?.toISOString() ?? null };
    windows.set(target, [...(windows.get(target) ?? []), window]);
  }
  return windows;
}

/** Leftovers of a try that died with its process, which nobody else's may be among. @returns their names */
export async function ownLeftovers(session: IndexSession, target: string): Promise<string[]> {
  if (!(await isReadable(session))) return [];
  const tries = await session.query<{ name: string; spared: string[] }>(
    `SELECT name, spared FROM ${JOURNAL} WHERE target = $1 AND finished_at IS NULL`,
    [target],
  );
  if (tries.length === 0) return [];
  const invalid = await invalidIndexes(session, target);
  return tries.flatMap(({ name, spared }) => leftoversOf(name, new Set(spared), invalid));
}

/** Drops them and ends their tries. */
export async function clearLeftovers(
  session: IndexSession,
  target: string,
  leftovers: readonly string[],
): Promise<void> {
  for (const name of leftovers) await drop(session, target, name);
  await session.query(
    `UPDATE ${JOURNAL} SET finished_at = clock_timestamp(), error = 'interrupted' WHERE target = $1 AND finished_at IS NULL`,
    [target],
  );
}

/**
 * Rebuilds, then analyzes the table. The journal must be open.
 *
 * @returns the new index: it has another oid
 * @throws what the server says; what the try left is dropped then, or named in the message where that fails too
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
    `INSERT INTO ${JOURNAL} (target, name, spared, started_at, bytes_before) VALUES ($1, $2, $3::text[], clock_timestamp(), $4)
     ON CONFLICT (target, name) DO UPDATE
        SET spared = EXCLUDED.spared, started_at = EXCLUDED.started_at, finished_at = NULL, error = NULL,
            bytes_before = EXCLUDED.bytes_before, bytes_after = NULL`,
    [target, name, [...before], bytesBefore],
  );
  const index = `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`;
  try {
    await session.runWatched(`${target} ${name} (building it anew)`, `REINDEX INDEX CONCURRENTLY ${index}`);
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
    // The server may go on without us: the lock comes free when it is done, and only then is to be seen what it left.
    if (!(await session.alive())) await session.reopen();
    const leftovers = leftoversOf(name, before, await invalidIndexes(session, target));
    for (const leftover of leftovers) await drop(session, target, leftover, CLEAR_UP_PATIENCE_MS);
    await end(session, target, name, { error: reason });
    return new Error(reason, { cause });
  } catch (error) {
    return new Error(`${reason}; an invalid index may be left, which the next run drops (${messageOf(error)})`, {
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
    `UPDATE ${JOURNAL} SET finished_at = clock_timestamp(), bytes_after = $3, error = $4 WHERE target = $1 AND name = $2`,
    [target, name, bytes ?? null, error ?? null],
  );
}

async function drop(session: IndexSession, target: string, name: string, patienceMs?: number): Promise<void> {
  await session.runWatched(`${target} ${name} (dropping a leftover)`, dropStatement(target, name), patienceMs);
}

/** Pure. PostgreSQL shortens the name where the suffix would make it too long. */
export function leftoversOf(name: string, spared: ReadonlySet<string>, invalid: readonly Invalid[]): string[] {
  return invalid
    .filter((index) => {
      const suffix = REBUILD_ENDING.exec(index.name)?.[0];
      return suffix !== undefined && suffixed(name, suffix) === index.name && !spared.has(index.oid);
    })
    .map((index) => index.name);
}

/** As PostgreSQL does it: the name loses characters where the whole would be longer than its 63 bytes. */
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
