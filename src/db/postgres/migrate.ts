import { readdir } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { LockedError, UsageError } from "../../errors.ts";
import { connectionOptions, postgresError, type Connection } from "./pool.ts";
import { ownSchema, prepareSession } from "./prepare-session.ts";
import { requireRightPlace } from "./right-place.ts";

const DIRECTORY = fileURLToPath(new URL("migrations", import.meta.url));
const TABLE = "usage_migration";
/** Racing runners wait this long for each other. */
const WAIT_MS = 60_000;
/** A runner that says nothing for so long between two statements is frozen: the server ends it, and with it its lock. */
const FROZEN = "60s";

export interface MigrationStatus {
  readonly name: string;
  /** UTC text; null = pending */
  readonly appliedAt: string | null;
}

/** The migrations of this version, and those that only the database has. */
export interface MigrationState {
  readonly migrations: readonly MigrationStatus[];
  /** applied, but unknown here: a newer version made this database */
  readonly unknown: readonly string[];
}

/** Compares the migrations of this version with those that the database has. */
export async function migrationState(connection: Connection): Promise<MigrationState> {
  const files = (await readdir(DIRECTORY)).filter((file) => file.endsWith(".sql"));
  const names = files.map((file) => file.slice(0, -".sql".length)).sort();
  const applied = await appliedMigrations(connection);
  return {
    migrations: names.map((name) => ({ name, appliedAt: applied.get(name) ?? null })),
    unknown: [...applied.keys()].filter((name) => !names.includes(name)),
  };
}

async function appliedMigrations(connection: Connection): Promise<Map<string, string>> {
  const exists = await connection.query<{ found: boolean }>("SELECT to_regclass($1) IS NOT NULL AS found", [TABLE]);
  if (!exists.rows[0]?.found) return new Map();
  const { rows } = await connection.query<{ name: string; at: string }>(
    `SELECT name, to_char(run_on, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS at FROM ${TABLE} ORDER BY id`,
  );
  return new Map(rows.map(({ name, at }) => [name, at]));
}

/**
 * @throws UsageError when the database lacks a migration of this version, or has one of a newer version, or has its tables
 *   where this session does not look
 */
export async function requireMigrated(connection: Connection): Promise<void> {
  const { migrations, unknown } = await migrationState(connection);
  if (unknown.length > 0) {
    throw new UsageError(
      `The database was made by a newer version of Tallyman (${unknown.join(", ")}). Run that version.`,
    );
  }
  const missing = migrations.filter(({ appliedAt }) => appliedAt === null).map(({ name }) => name);
  if (missing.length > 0) {
    await requireRightPlace(connection);
    throw new UsageError(
      `The database lacks ${missing.length} migrations (${missing.join(", ")}). Run: tallyman migrate up`,
    );
  }
}

/** How to migrate. */
export interface MigrateOptions {
  /** makes a second set of tables, although another schema of the database has one */
  readonly secondSet?: boolean | undefined;
}

/**
 * Applies every pending migration, or reverts the last one, in one transaction. Racing runners wait for
 * each other. The tables are those of the first schema of the search_path that has them, or are made in the first of all.
 *
 * @returns the names that it applied or reverted
 * @throws LockedError when another runner does not end within a minute
 * @throws UsageError where the role may not make tables, or where another schema has them already
 */
export async function migrate(
  databaseUrl: string,
  direction: "up" | "down",
  { secondSet = false }: MigrateOptions = {},
): Promise<string[]> {
  const { runner } = await import("node-pg-migrate"); // slow to load, and needed here alone
  const client = new pg.Client(connectionOptions(databaseUrl));
  client.on("error", () => undefined); // the statement that it breaks throws
  try {
    await client.connect();
    await prepareSession(client, FROZEN);
  } catch (error) {
    await client.end().catch(() => undefined);
    throw postgresError(error);
  }
  const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
  try {
    if (!secondSet) await requireRightPlace(client);
    const schema = await ownSchema(client);
    if (direction === "up") await requireRightToCreate(client, schema);
    for (const deadline = Date.now() + WAIT_MS; ;) {
      try {
        const count = direction === "up" ? Infinity : 1;
        const done = await runner({
          dbClient: client,
          dir: DIRECTORY,
          direction,
          count,
          migrationsTable: TABLE,
          schema,
          migrationsSchema: schema,
          logger: quiet,
        });
        return done.map(({ name }) => name);
      } catch (error) {
        if ((error as { code?: string }).code === "42501") throw noRight(schema, (error as Error).message, error);
        if (!isHeld(error)) throw error;
        if (Date.now() > deadline) {
          throw new LockedError("Another migration has been running for a minute. Wait for it, then run this again.", {
            cause: error,
          });
        }
        await sleep(100 + Math.random() * 200);
      }
    }
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** The tool would only say that its own table cannot be made. */
async function requireRightToCreate(connection: Connection, schema: string): Promise<void> {
  const { rows } = await connection.query<{ enough: boolean }>(
    `SELECT to_regclass('${TABLE}') IS NOT NULL OR has_schema_privilege(current_schema(), 'CREATE') AS enough`,
  );
  if (rows[0]?.enough !== true) throw noRight(schema, `permission denied for schema ${schema}`);
}

function noRight(schema: string, why: string, cause?: unknown): UsageError {
  return new UsageError(
    `This role may not change tables in the schema ${schema}, the first of its search_path: ${why}. ` +
      "Let an owner give it one of its own: CREATE SCHEMA tallyman AUTHORIZATION <role>; ALTER ROLE <role> SET search_path = tallyman",
    { cause },
  );
}

/** The tool's own words when its lock is taken; a race to create its table shows as a duplicate. */
function isHeld(error: unknown): boolean {
  const { message, code } = error as { message?: string; code?: string };
  return /another migration is already running/i.test(message ?? "") || code === "23505" || code === "42P07";
}

/** Are there rows that a migration down would delete? */
export async function holdsRows(connection: Connection): Promise<boolean> {
  for (const table of ["daily_usage_cache", "usage_run", "usage_tenant", "usage_change"]) {
    const exists = await connection.query<{ found: boolean }>("SELECT to_regclass($1) IS NOT NULL AS found", [table]);
    if (!exists.rows[0]?.found) continue;
    const { rows } = await connection.query(`SELECT 1 FROM ${table} LIMIT 1`);
    if (rows.length > 0) return true;
  }
  return false;
}
