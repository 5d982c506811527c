/** Indexes of PostgreSQL: built concurrently, one statement each, outside any transaction, never with IF NOT EXISTS. */
import pg from "pg";
import { UsageError } from "../../../errors.ts";
import { type Engine, type EngineOptions, type Proof, messageOf, pause, type Recovery } from "../engine.ts";
import type { PostgresIndex } from "../../manifest/manifest.ts";
import { observe } from "./catalog.ts";
import { besideName, createStatement, definitionTail, dropStatement, tableOf } from "./ddl.ts";
import { findDuplicates } from "./duplicates.ts";
import { PostgresLedger } from "./ledger.ts";
import { CLEAR_UP_PATIENCE_MS, type IndexSession } from "./session.ts";
import { sizeOf } from "./size.ts";
import { REPLACED as OLD, REPLACEMENT as NEW } from "../../manifest/reserved.ts";
import type { Observation } from "../../decision/observation.ts";
import { sameForm } from "../../decision/normal-form.ts";

/** Lock timeout, deadlock victim, serialisation: somebody was in the way. */
const IN_THE_WAY = new Set(["55P03", "40P01", "40001"]);
/** IF NOT EXISTS would call an invalid or differing index, or even a table, a success; without it the name is news. */
const NAME_TAKEN = new Set(["42P07", "42710"]);
const NO_RIGHT = "42501";
const WAIT_POLL_MS = 500;

export interface PostgresEngineOptions extends EngineOptions {
  readonly session: IndexSession;
  readonly indexes: Readonly<Record<string, readonly PostgresIndex[]>>;
}

export function postgresEngine(options: PostgresEngineOptions): Engine {
  const { session, indexes, signal } = options;

  function find(target: string, name: string): PostgresIndex {
    const index = indexes[target]?.find((one) => one.name === name);
    if (!index) throw new Error(`${name} is not declared on ${target}`);
    return index;
  }

  async function build(target: string, name: string, unique: boolean, tail: string, label = name): Promise<void> {
    await session.runWatched(`${target} ${label}`, createStatement(target, name, unique, tail));
  }

  /** After a cancellation it gives up soon. */
  async function drop(target: string, name: string, label: string): Promise<void> {
    const patienceMs = signal.aborted ? CLEAR_UP_PATIENCE_MS : undefined;
    await session.runWatched(`${target} ${label}`, dropStatement(target, name), patienceMs);
  }

  async function exists(target: string, name: string): Promise<boolean> {
    const { schema, table } = tableOf(target);
    const [row] = await session.query<{ there: boolean }>(EXISTS, [schema, table, name]);
    return row?.there === true;
  }

  async function dropBeside(target: string, name: string, suffix: string): Promise<boolean> {
    const beside = besideName(name, suffix);
    if (!(await exists(target, beside))) return false;
    const what = suffix === OLD ? "what was replaced" : "what an interrupted replacement left";
    await drop(target, beside, `${name} (dropping ${what})`);
    return true;
  }

  /** An earlier process may have died after the build, which the server then finished. */
  async function isBuilt(target: string, name: string): Promise<boolean> {
    const { actual, declared } = await look(target);
    const [next, wanted] = [actual.find((one) => one.name === besideName(name, NEW)), declared.get(name)];
    if (!next?.valid || !wanted || wanted instanceof Error) return false;
    return sameForm(next.form, wanted.form);
  }

  /** Builds beside, changes the names in one transaction, and drops the old one; the table is never without either. */
  async function swap(
    target: string,
    name: string,
    definition: { unique: boolean; tail: string } | "built",
    prove?: Proof,
  ): Promise<void> {
    const [next, old] = [besideName(name, NEW), besideName(name, OLD)];
    await dropBeside(target, name, OLD);
    if (definition !== "built") {
      await dropBeside(target, name, NEW);
      await build(target, next, definition.unique, definition.tail, `${name} (its replacement)`);
    }
    await rename(target, [name, old], [next, name]);
    await dropReplaced(target, name, prove);
  }

  async function dropReplaced(target: string, name: string, prove?: Proof): Promise<boolean> {
    const [next, old] = [besideName(name, NEW), besideName(name, OLD)];
    const former = (await look(target)).actual.find((index) => index.name === old);
    // One that a drop has begun to take away serves nobody any more.
    const fault = former?.valid ? await prove?.(target, name) : undefined;
    if (fault !== undefined) {
      await rename(target, [name, next], [old, name]);
      await dropBeside(target, name, NEW);
      throw new Error(`the former definition stays, since the new one does not serve: ${fault}`);
    }
    return dropBeside(target, name, OLD);
  }

  /** All at once; it locks the indexes only, and not against readers or writers. */
  async function rename(target: string, ...pairs: readonly (readonly [from: string, to: string])[]): Promise<void> {
    const { schema } = tableOf(target);
    await session.query("BEGIN");
    try {
      await session.query(`SET LOCAL lock_timeout = '3s'`);
      for (const [from, to] of pairs) {
        const quoted = `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(from)}`;
        await session.query(`ALTER INDEX ${quoted} RENAME TO ${pg.escapeIdentifier(to)}`);
      }
      await session.query("COMMIT");
    } catch (error) {
      await session.query("ROLLBACK").catch(() => undefined);
      throw error;
    }
  }

  async function look(target: string): Promise<Observation> {
    try {
      return await observe(session, target, indexes[target] ?? []);
    } catch (error) {
      if (codeOf(error) !== NO_RIGHT) throw error;
      throw new UsageError(
        `comparing indexes needs the right to create temporary tables and to read ${target}: ${messageOf(error)}`,
        { cause: error },
      );
    }
  }

  return {
    name: "postgres",
    targets: new Map(Object.entries(indexes)),
    ignored: new Set(options.ignored),
    ledger: new PostgresLedger(session),

    observe: look,

    refusal: () => Promise.resolve(undefined),
    duplicates: (target, name) => findDuplicates(session, target, find(target, name)),

    definition(target, name) {
      const index = find(target, name);
      return createStatement(target, name, index.unique === true, definitionTail(index));
    },

    removal: dropStatement,

    async create(target, name) {
      const index = find(target, name);
      await build(target, name, index.unique === true, definitionTail(index));
      // Statistics of an expression exist only from the first ANALYZE after its index.
      if (index.columns.some((column) => typeof column !== "string" && column.expr !== undefined)) {
        await session.runWatched(`${target} (analyze)`, `ANALYZE ${tableOf(target).quoted}`).catch((error: unknown) => {
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

    dropInvalid: (target, name) => drop(target, name, `${name} (dropping an invalid leftover)`),
    drop: (target, name) => drop(target, name, `${name} (dropping)`),

    irreplaceable(_target, name, { guards = "", definition }) {
      if (definition === undefined) return "Its definition cannot be read, so nothing could bring it back.";
      return RECIPES[guards] === undefined ? undefined : `${name} ${RECIPES[guards]}`;
    },

    async replace(target, name) {
      const index = find(target, name);
      const definition = { unique: index.unique === true, tail: definitionTail(index) };
      await swap(target, name, (await isBuilt(target, name)) ? "built" : definition, options.prove);
    },

    finishReplace: (target, name) => dropReplaced(target, name, options.prove),
    abandonReplace: (target, name) => dropBeside(target, name, NEW),

    async restore({ target, name, previous = "" }) {
      const [, unique, tail = ""] = /^(UNIQUE )?(.*)$/s.exec(previous) ?? [];
      await swap(target, name, { unique: unique !== undefined, tail });
      return undefined;
    },

    async claim(target, name, mark) {
      const { schema } = tableOf(target);
      const quoted = `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`;
      await session.query(`COMMENT ON INDEX ${quoted} IS ${pg.escapeLiteral(mark)}`);
      const { oid, bytes, entries } = await sizeOf(session, target, name);
      return { oid, baseline: { bytes, rows: entries } };
    },

    createTarget: (target) => Promise.reject(new Error(`${target} belongs to a migration`)),
    dropTarget: () => Promise.resolve("a table belongs to a migration"),

    async recovery(error): Promise<Recovery> {
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

/** What has to go over to the new index, and only a migration can take there. */
const RECIPES: Readonly<Record<string, string>> = {
  constraint:
    "belongs to a constraint, which only a migration can move: CREATE UNIQUE INDEX CONCURRENTLY ..., " +
    "then ALTER TABLE ... DROP CONSTRAINT ..., ADD CONSTRAINT ... USING INDEX ...",
  "foreign key":
    "is what a foreign key refers to, which only a migration can move: CREATE UNIQUE INDEX CONCURRENTLY ..., " +
    "then ALTER TABLE ... DROP CONSTRAINT ..., ADD FOREIGN KEY ... NOT VALID, VALIDATE CONSTRAINT ...",
  "replica identity":
    "is the table's replica identity, which only a migration can move: CREATE UNIQUE INDEX CONCURRENTLY ..., " +
    "then ALTER TABLE ... REPLICA IDENTITY USING INDEX ...",
};

function codeOf(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

const BUSY = `
  SELECT EXISTS (SELECT FROM pg_stat_progress_create_index p
                  WHERE p.datname = current_database() AND p.pid <> pg_backend_pid()
                    AND (p.relid IS NULL OR p.relid = t.oid)) AS busy
    FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
   WHERE n.nspname = $1 AND t.relname = $2`;

const EXISTS = `
  SELECT EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
                   JOIN pg_namespace n ON n.oid = t.relnamespace
                  WHERE n.nspname = $1 AND t.relname = $2 AND c.relname = $3) AS there`;
