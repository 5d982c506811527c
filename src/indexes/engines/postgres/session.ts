/**
 * Two connections to one database: the first holds the keeper's lock and builds, the second watches and cancels. The
 * building backend itself holds the lock: if this process dies, the server finishes the build, and the lock ends with
 * it.
 */
import type pg from "pg";
import { LockedError, UnreachableError, UsageError } from "../../../errors.ts";
import { BUILD_STATE, type BuildState, describe } from "./progress.ts";
import { type EngineOptions, pause } from "../engine.ts";
import { connectPostgres } from "./connect.ts";
import { findOwnTables, type OwnTables } from "./own-tables.ts";

/**
 * One key per database, so that all processes build one after another: two concurrent builds on one table deadlock, and
 * so do a build and the drop of an index that looks like its leftover.
 */
const LOCK_KEY = "hashtextextended('tallyman:indexes:' || current_database(), 0)";
/** The connection with the lock says something so often, also while a build in MongoDB takes hours. */
const BEAT_MS = 10_000;
/** A process that says nothing for so long is frozen, or gone with its machine: the server ends it, and with it the lock. */
const FROZEN = "60s";
const WATCH_EVERY_MS = 500;
const CANCEL_EVERY_MS = 100;
const REOPEN_FIRST_MS = 250;
const REOPEN_LAST_MS = 8000;

/** How long a drop may wait after a cancellation, when somebody waits for this process to exit. */
export const CLEAR_UP_PATIENCE_MS = 10_000;

export interface SessionOptions extends EngineOptions {
  readonly databaseUrl: string;
  readonly lockWaitMs: number;
}

export class IndexSession {
  readonly #options: SessionOptions;
  #main: pg.Client | undefined;
  #watcher: pg.Client | undefined;
  #pid = 0;
  #tables: OwnTables | undefined;
  #lost = true;
  #running = 0;
  #beats: NodeJS.Timeout | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /**
   * Connects, checks the server and takes the lock. Also used after a lost connection: while the old backend still
   * builds, it holds the lock, and this waits.
   * @returns false if the signal fired first.
   * @throws LockedError, UnreachableError, UsageError
   */
  async open(): Promise<boolean> {
    await this.connect();
    return this.#lock();
  }

  /** Connects and checks the server without taking the lock, for reading only. @throws UnreachableError, UsageError */
  async connect(): Promise<void> {
    await this.close();
    const main = await this.#connect();
    this.#main = main;
    const lose = () => {
      if (this.#main === main) this.#lost = true;
    };
    main.on("error", lose).on("end", lose);
    this.#watcher = await this.#connect();
    await this.#checkServer();
    await this.query(
      `SELECT set_config('idle_session_timeout', $1, false) WHERE current_setting('idle_session_timeout', true) IS NOT NULL`,
      [FROZEN],
    );
    this.#beats = setInterval(() => {
      if (this.#running === 0) this.query("SELECT 1").catch(() => undefined); // the next statement says what is wrong
    }, BEAT_MS).unref();
    this.#tables = await findOwnTables(main);
  }

  /** The keeper's own tables in this database. */
  get tables(): OwnTables {
    if (!this.#tables) throw new Error("the index session is not open");
    return this.#tables;
  }

  /** The lock is not held: not taken yet, or lost with the connection. */
  get lost(): boolean {
    return this.#lost;
  }

  /** Tests the connection with a statement: a statement's error may arrive before the driver reports the loss. */
  async alive(): Promise<boolean> {
    await this.query("SELECT 1").catch(() => (this.#lost = true));
    return !this.#lost;
  }

  /** Opens the session again after a loss; retries for some seconds, long enough for a restart of the server. */
  async reopen(): Promise<void> {
    for (let delay = REOPEN_FIRST_MS; ; delay *= 2) {
      try {
        await this.open();
        return;
      } catch (error) {
        if (!(error instanceof UnreachableError) || delay > REOPEN_LAST_MS || this.#options.signal.aborted) throw error;
        await pause(delay, this.#options.signal);
      }
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#beats);
    const clients = [this.#main, this.#watcher];
    this.#main = this.#watcher = undefined;
    this.#lost = true;
    await Promise.all(clients.map(async (client) => client?.end().catch(() => undefined)));
  }

  /** The primary's clock, the same for every process. */
  async now(): Promise<Date> {
    const [row] = await this.query<{ now: string }>("SELECT extract(epoch FROM clock_timestamp()) * 1000 AS now");
    return new Date(Number(row?.now));
  }

  /** Always in the extended protocol, which takes a single statement only: a manifest's text is part of some. */
  async query<Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> {
    if (!this.#main) throw new Error("the index session is not open");
    this.#running++;
    try {
      const statement = { text, values, queryMode: "extended" };
      return (await this.#main.query<Row>(statement)).rows;
    } finally {
      this.#running--;
    }
  }

  /**
   * Runs one CREATE or DROP INDEX CONCURRENTLY and watches it. Without lock_timeout, which would only make it fail and
   * leave an invalid index; writers do not queue behind it anyway. At its limits, or on the signal, the watch cancels
   * this session's own backend and no other.
   * @param patienceMs for clearing up: replaces the limit on waiting, and the signal is ignored
   */
  async runWatched(label: string, sql: string, patienceMs?: number): Promise<void> {
    if (this.#lost) throw new Error("the index lock is not held");
    let settled = false;
    const done = new AbortController();
    const running = this.query(sql).finally(() => {
      settled = true;
      done.abort();
    });
    running.catch(() => undefined);
    const why = await this.#watch(label, () => settled, done.signal, patienceMs);
    try {
      await running;
    } catch (error) {
      throw why === undefined ? error : new Error(why, { cause: error });
    }
  }

  async #watch(
    label: string,
    settled: () => boolean,
    done: AbortSignal,
    patienceMs: number | undefined,
  ): Promise<string | undefined> {
    const { signal, maxBuildMs, maxWaitMs, onProgress } = this.#options;
    const stops = patienceMs === undefined ? AbortSignal.any([done, signal]) : done;
    const started = performance.now();
    let waitingSince: number | undefined;
    let last = "";
    let why: string | undefined;
    while (!settled()) {
      await pause(why === undefined ? WATCH_EVERY_MS : CANCEL_EVERY_MS, why === undefined ? stops : done);
      if (settled()) break;
      const state = await this.#state();
      const time = performance.now();
      waitingSince = state?.waits === true ? (waitingSince ?? time) : undefined;
      const waited = waitingSince === undefined ? 0 : time - waitingSince;
      const line = describe(state);
      if (line !== last) onProgress(`postgres ${label}: ${(last = line)}`);
      if (patienceMs === undefined && signal.aborted) why ??= "cancelled";
      else if (waited > (patienceMs ?? maxWaitMs)) why ??= `cancelled after waiting ${Math.round(waited)} ms: ${line}`;
      else if (time - started > maxBuildMs) why ??= `cancelled after ${maxBuildMs} ms`;
      // Again at each turn: a cancel that meets the backend between two statements is lost.
      if (why !== undefined && !settled()) await this.#aside("SELECT pg_cancel_backend($1)", [this.#pid]);
    }
    return why;
  }

  async #state(): Promise<BuildState | undefined> {
    const rows = await this.#aside<BuildState>(BUILD_STATE, [this.#pid]);
    return rows[0];
  }

  /** A query on the second connection. If that fails, the build goes on unwatched until the next turn. */
  async #aside<Row extends pg.QueryResultRow>(sql: string, values: unknown[]): Promise<Row[]> {
    try {
      this.#watcher ??= await this.#connect();
      return (await this.#watcher.query<Row>(sql, values)).rows;
    } catch {
      await this.#watcher?.end().catch(() => undefined);
      this.#watcher = undefined;
      return [];
    }
  }

  async #connect(): Promise<pg.Client> {
    const client = await connectPostgres(this.#options.databaseUrl, "tallyman indexes");
    // Timeouts set for the role or the database would end a long build. Not every version has each of these settings.
    await client.query(
      `SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN
         ('statement_timeout', 'lock_timeout', 'idle_session_timeout', 'transaction_timeout')`,
    );
    return client;
  }

  async #checkServer(): Promise<void> {
    type Row = { version: number; standby: boolean; pid: number };
    const sql = `SELECT current_setting('server_version_num')::int AS version, pg_is_in_recovery() AS standby, pg_backend_pid() AS pid`;
    const [first] = await this.query<Row>(sql);
    const [second] = await this.query<Row>(sql);
    if (!first || !second || first.pid !== second.pid) {
      throw new UsageError("DATABASE_URL leads through a transaction pooler; index work needs a direct connection");
    }
    if (first.standby) throw new UsageError("DATABASE_URL leads to a standby; index work needs the primary");
    if (first.version < 120_000) throw new UsageError("PostgreSQL 12 or newer is needed");
    if (first.version >= 140_000 && first.version < 140_004) {
      throw new UsageError("PostgreSQL 14.0 to 14.3 corrupt indexes that are built online; update to 14.4 or newer");
    }
    this.#pid = first.pid;
  }

  /**
   * Polls pg_try_advisory_lock: a session that waits inside pg_advisory_lock holds a snapshot, a concurrent build waits
   * for that snapshot, and the server ends the deadlock by killing one of them.
   */
  async #lock(): Promise<boolean> {
    const { signal, lockWaitMs, onProgress } = this.#options;
    const deadline = performance.now() + lockWaitMs;
    let delay = 100;
    let told = "";
    while (!signal.aborted) {
      const [row] = await this.query<{ locked: boolean }>(`SELECT pg_try_advisory_lock(${LOCK_KEY}) AS locked`);
      if (row?.locked === true) {
        this.#lost = false;
        return true;
      }
      const [holder] = await this.query<{ who: string }>(LOCK_HOLDER);
      const who = holder?.who ?? "another session";
      if (performance.now() >= deadline) {
        throw new LockedError(`another index run holds the lock of this database (${who}); try again later`);
      }
      if (who !== told) onProgress(`postgres: waiting for the index lock, held by ${(told = who)}`);
      const left = Math.max(0, deadline - performance.now());
      await pause(Math.min(left, delay * (0.5 + Math.random())), signal);
      delay = Math.min(2000, delay * 1.5);
    }
    return false;
  }
}

const LOCK_HOLDER = `
  SELECT coalesce(nullif(a.application_name, ''), 'pid ' || l.pid) AS who
    FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
   WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
     AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
     AND (l.classid::bigint << 32) | l.objid::bigint = ${LOCK_KEY}`;
