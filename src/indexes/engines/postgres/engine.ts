/** The engine for PostgreSQL. Indexes are built concurrently, one statement each, outside any transaction. */
import pg from "pg";
import { UsageError } from "../../../errors.ts";
import type { Observation } from "../../decision/observation.ts";
import type { PostgresIndex } from "../../manifest/manifest.ts";
import { messageOf, pause, type Engine, type EngineOptions, type Recovery } from "../engine.ts";
import { observe } from "./catalog.ts";
import { commentOf, joinComment, splitComment } from "./belongings.ts";
import { createStatement, declaredDefinition, dropStatement, qualified, tableOf } from "./ddl.ts";
import { postgresDiscovery } from "./discovery.ts";
import { objectionTo } from "./objections.ts";
import { findDuplicates } from "./duplicates.ts";
import { postgresFigures } from "./figures.ts";
import { PostgresLedger } from "./ledger.ts";
import { postgresMaintenance } from "./maintenance.ts";
import { reindexWindows } from "./reindex.ts";
import { postgresReplacement } from "./replacement.ts";
import { postgresChanges } from "./changes.ts";
import type { IndexSession } from "./session.ts";
import { sizeOf } from "./size.ts";

/** Lock timeout, deadlock, serialisation failure: another session was in the way. */
const IN_THE_WAY = new Set(["55P03", "40P01", "40001"]);
/** The name exists by now: look again. (IF NOT EXISTS would take an invalid or different index for success.) */
const NAME_TAKEN = new Set(["42P07", "42710"]);
const NO_RIGHT = "42501";
const WAIT_POLL_MS = 500;

export interface PostgresEngineOptions extends EngineOptions {
  readonly session: IndexSession;
  readonly indexes: Readonly<Record<string, readonly PostgresIndex[]>>;
}

export function postgresEngine(options: PostgresEngineOptions): Engine {
  const { session, indexes, signal } = options;
  const ledger = new PostgresLedger(session);

  function find(target: string, name: string): PostgresIndex {
    const index = indexes[target]?.find((one) => one.name === name);
    if (!index) throw new Error(`${name} is not declared on ${target}`);
    return index;
  }

  const changes = postgresChanges(session, options);
  const { build, drop, analyze } = changes;

  /** found partitioned by the last look */
  const partitioned = new Set<string>();

  async function look(target: string): Promise<Observation> {
    try {
      const view = await observe(session, target, indexes[target] ?? []);
      if (view.isPartitioned === true) partitioned.add(target);
      else partitioned.delete(target);
      return view;
    } catch (error) {
      if (codeOf(error) !== NO_RIGHT) throw error;
      throw new UsageError(
        `comparing indexes needs the right to create temporary tables and to read ${target}: ${messageOf(error)}`,
        { cause: error },
      );
    }
  }

  async function waitForBuild(target: string, name: string): Promise<void> {
    const { schema, table } = tableOf(target);
    const started = performance.now();
    while (!signal.aborted) {
      const [row] = await session.query<{ busy: boolean }>(BUSY, [schema, table]);
      if (row?.busy !== true) return;
      const waited = performance.now() - started;
      if (waited > options.maxBuildMs) throw new Error(`another session still builds an index of ${target}`);
      if (waited < WAIT_POLL_MS) options.onProgress(`postgres ${target} ${name}: waiting for another session's build`);
      await pause(WAIT_POLL_MS, signal);
    }
  }

  return {
    name: "postgres",
    targets: new Map(Object.entries(indexes)),
    ignored: new Set(options.ignored),
    ledger,
    replacement: postgresReplacement({ session, prove: options.prove, find, look, changes }),
    statistics: {
      async database() {
        const [row] = await session.query<{ name: string }>("SELECT current_database() AS name");
        return row?.name ?? "";
      },
      figures: (target) => postgresFigures(session, target),
      rebuilds: () => reindexWindows(session),
    },
    maintenance: postgresMaintenance(session, ledger, waitForBuild),
    discovery: postgresDiscovery(session),

    observe: look,

    objection: (change) =>
      objectionTo(
        session,
        change,
        indexes[change.target]?.find(({ name }) => name === change.name),
      ),
    refusal: () => Promise.resolve(undefined),
    duplicates: (target, name) => findDuplicates(session, target, find(target, name)),

    definition(target, name) {
      const how = partitioned.has(target) ? "only" : "concurrently";
      return createStatement(target, name, declaredDefinition(find(target, name)), how);
    },

    statements: (target, name) => changes.statements(target, name, declaredDefinition(find(target, name))),

    removal: (target, name) => dropStatement(target, name, partitioned.has(target) ? "whole" : "concurrently"),

    sweep: changes.sweep,
    create: (target, name) => build(target, name, declaredDefinition(find(target, name))),

    waitForBuild,
    dropInvalid: (target, name) => drop(target, name, `${name} (dropping an invalid leftover)`),
    drop: (target, name) => drop(target, name, `${name} (dropping)`),

    async claim(target, name, mark) {
      await analyze(target, name).catch((error: unknown) => {
        options.onProgress(`postgres ${target} ${name}: built, but ANALYZE failed: ${messageOf(error)}`);
      });
      const { schema } = tableOf(target);
      const { text } = splitComment(await commentOf(session, schema, name));
      const comment = joinComment({ ...(text === undefined ? {} : { text }), mark }) ?? mark;
      await session.query(`COMMENT ON INDEX ${qualified(schema, name)} IS ${pg.escapeLiteral(comment)}`);
      const { oid, bytes, entries } = await sizeOf(session, target, name);
      return { oid, baseline: { bytes, rows: entries } };
    },

    createTarget: (target) => Promise.reject(new Error(`${target} belongs to a migration`)),
    dropTarget: () => Promise.resolve("a table belongs to a migration"),

    async recovery(error): Promise<Recovery> {
      if (!(await session.alive())) {
        // The build may have succeeded or still be running on the server: take the lock, which it holds, and look
        // again.
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
                    AND (p.relid IS NULL OR p.relid = t.oid OR p.relid IN (SELECT relid FROM pg_partition_tree(t.oid)))) AS busy
    FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
   WHERE n.nspname = $1 AND t.relname = $2`;
