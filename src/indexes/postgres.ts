/** Indexes of PostgreSQL: built concurrently, one statement each, outside any transaction, never with IF NOT EXISTS. */
import pg from "pg";
import { UsageError } from "../errors.ts";
import { type Engine, type EngineOptions, messageOf, pause, type Verdict } from "./engine.ts";
import type { PostgresIndex } from "./manifest.ts";
import { definitionTail, observe, tableOf } from "./postgres-catalog.ts";
import type { Session } from "./postgres-session.ts";

/** Lock timeout, deadlock victim, serialisation: somebody was in the way. */
const IN_THE_WAY = new Set(["55P03", "40P01", "40001"]);
/** IF NOT EXISTS would call an invalid or differing index, or even a table, a success; without it the name is news. */
const NAME_TAKEN = new Set(["42P07", "42710"]);
const NO_TEMP_RIGHT = "42501";
const WAIT_POLL_MS = 500;
/** After a cancellation someone waits for us to go. */
const CLEAR_UP_PATIENCE_MS = 10_000;

export interface PostgresEngineOptions extends EngineOptions {
  readonly session: Session;
  readonly indexes: Readonly<Record<string, readonly PostgresIndex[]>>;
}

export function postgresEngine(options: PostgresEngineOptions): Engine {
  const { session, indexes, signal } = options;
  return {
    name: "postgres",
    targets: new Map(Object.entries(indexes)),

    async observe(target) {
      try {
        return await observe(session, target, indexes[target] ?? []);
      } catch (error) {
        if (codeOf(error) !== NO_TEMP_RIGHT) throw error;
        throw new UsageError(
          `comparing indexes needs the right to create temporary tables and to read ${target}: ${messageOf(error)}`,
          { cause: error },
        );
      }
    },

    refusal: () => Promise.resolve(undefined),

    async create(target, name) {
      const index = indexes[target]?.find((one) => one.name === name);
      if (!index) throw new Error(`${name} is not declared on ${target}`);
      const unique = index.unique === true ? "UNIQUE " : "";
      const { quoted } = tableOf(target);
      await session.runWatched(
        `${target} ${name}`,
        `CREATE ${unique}INDEX CONCURRENTLY ${pg.escapeIdentifier(name)} ON ${quoted} ${definitionTail(index)}`,
      );
      // Statistics of an expression exist only from the first ANALYZE after its index.
      if (index.columns.some((column) => typeof column !== "string" && column.expr !== undefined)) {
        await session.runWatched(`${target} (analyze)`, `ANALYZE ${quoted}`).catch((error: unknown) => {
          options.onProgress(`postgres ${target} ${name}: built, but ANALYZE failed: ${messageOf(error)}`);
        });
      }
    },

    async waitForBuild(target, name) {
      const { schema, table } = tableOf(target);
      const started = performance.now();
      while (!signal.aborted) {
        const [row] = await session.query<{ busy: boolean }>(BUSY, [schema, table]);
        if (row?.busy !== true) return;
        const waited = performance.now() - started;
        if (waited > options.maxBuildMs) throw new Error(`another session still builds an index of ${target}`);
        if (waited < WAIT_POLL_MS)
          options.onProgress(`postgres ${target} ${name}: waiting for another session's build`);
        await pause(WAIT_POLL_MS, signal);
      }
    },

    async dropInvalid(target, name) {
      const { schema } = tableOf(target);
      await session.runWatched(
        `${target} ${name} (dropping an invalid leftover)`,
        `DROP INDEX CONCURRENTLY IF EXISTS ${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`,
        signal.aborted ? CLEAR_UP_PATIENCE_MS : undefined,
      );
    },

    async judge(error): Promise<Verdict> {
      if (!(await session.alive())) {
        // The build may have ended well, or go on without us: only the lock and a fresh look tell.
        await session.reopen();
        return "retry";
      }
      const code = codeOf(error) ?? "";
      if (NAME_TAKEN.has(code)) return "again";
      return IN_THE_WAY.has(code) ? "retry" : "fail";
    },
  };
}

function codeOf(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

const BUSY = `
  SELECT EXISTS (SELECT FROM pg_stat_progress_create_index p
                  WHERE p.datname = current_database() AND p.pid <> pg_backend_pid()
                    AND (p.relid IS NULL OR p.relid = t.oid)) AS busy
    FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
   WHERE n.nspname = $1 AND t.relname = $2`;
