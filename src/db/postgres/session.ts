import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { isConnectionLoss, LockedError } from "../../errors.ts";
import { randomInt } from "node:crypto";
import { connectionOptions, postgresError, type Connection } from "./pool.ts";
import { prepareSession } from "./prepare-session.ts";

/** The queues. A read for `bulk` leaves permit 1 to the nightly rebuild and the refresh, which are in `fresh`. */
export type QueueName = "fresh" | "bulk";

/** The class of the permits. */
export const PERMIT_CLASS = 0x74616c6d;
const WORKER_CLASS = 0x74616c77;
/** The class of the lock that each process holds for its whole life. */
export const PROCESS_CLASS = 0x74616c70;
const POLL_MS = { first: 10, most: 250 };

/** The connection is tried so often. */
const BEAT_MS = 5_000;
/** After so many tries without an answer it is taken to be lost. */
const MOST_SILENT_BEATS = 3;
/** A process that has not tried its connection for so long is frozen, or gone with its machine: the server ends it. */
const FROZEN = "30s";

/** What is added to the number of a permit whose holder is frozen: the permit that stands in for it. */
const STAND_IN = 1_000_000;
const NOBODY: ReadonlySet<number> = new Set();
/** Tries for a permit, some seconds, after which a waiting process looks for frozen holders. */
const TRIES_PER_LOOK = 20;

/**
 * The locks that one process holds for its whole life, on one dedicated connection, so that its death frees them all.
 * This rules out a transaction pooler in front of PostgreSQL. When the connection is lost, `lost` aborts and ends every
 * read under a permit, because another process may hold the same permit by then.
 *
 * Permits are session advisory locks 1..N and cap the concurrent aggregations over all processes. A permit whose holder
 * says nothing any more, because its process or PostgreSQL's own is frozen, has a stand-in: nobody can take the lock away,
 * and what was read under it has long ended.
 */
export class Session {
  /** identifies this process by a lock that it holds as long as the connection lives; a chunk's claim names it */
  readonly id = randomInt(1, 2 ** 31);
  readonly #client: pg.Client;
  readonly #permits: number;
  readonly #held = new Set<number>();
  /** permits whose holders were silent at the last look: when each last said anything, and since when we have seen that */
  #silent: ReadonlyMap<number, { readonly at: string; readonly since: number }> = new Map();
  readonly #lost = new AbortController();
  /** one statement at a time: pg would queue them, but a permit must be marked as held before the next try */
  #turn: Promise<unknown> = Promise.resolve();
  #beats: NodeJS.Timeout | undefined;
  #silentBeats = 0;

  private constructor(client: pg.Client, permits: number) {
    this.#client = client;
    this.#permits = permits;
    client.on("error", (error) => this.#lose(error.message, error));
  }

  /** @param permits how many aggregations may run at once over all processes (`MONGODB_CONCURRENCY`) */
  static async open(databaseUrl: string, permits: number): Promise<Session> {
    const client = new pg.Client(connectionOptions(databaseUrl));
    const session = new Session(client, permits);
    try {
      await client.connect();
      await prepareSession(client, FROZEN);
      await session.#query("SELECT pg_advisory_lock($1, $2)", [PROCESS_CLASS, session.id]);
    } catch (error) {
      await session.close();
      throw postgresError(error);
    }
    session.#beats = setInterval(() => session.#beat(), BEAT_MS).unref();
    return session;
  }

  /** Aborts when the connection is lost. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Waits for a permit. Aborting `signal` ends the wait with its reason. */
  async takePermit(queue: QueueName, signal: AbortSignal): Promise<number> {
    const first = queue === "bulk" && this.#permits > 1 ? 2 : 1;
    for (let tries = 1, delay = POLL_MS.first; ; tries++, delay = Math.min(delay * 2, POLL_MS.most)) {
      // Where holders were silent at the last look, most permits may be theirs: each wait would be long.
      const looks = this.#silent.size > 0 || tries % TRIES_PER_LOOK === 0;
      const frozen = looks ? await this.#frozenPermits() : NOBODY;
      for (let permit = first; permit <= this.#permits; permit++) {
        let number = permit;
        let isTaken = await this.#tryPermit(number, signal);
        while (!isTaken && frozen.has(number)) isTaken = await this.#tryPermit((number += STAND_IN), signal);
        if (isTaken) return number;
      }
      await sleep(delay * (0.5 + Math.random()), undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }

  /** Tries to take a permit by its number. */
  async #tryPermit(permit: number, signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted();
    this.lost.throwIfAborted();
    if (this.#held.has(permit)) return false; // the same session would get its own lock again
    this.#held.add(permit);
    let isTaken = false;
    try {
      isTaken = await this.#tryLock("SELECT pg_try_advisory_lock($1, $2) AS locked", [PERMIT_CLASS, permit]);
      return isTaken;
    } finally {
      if (!isTaken) this.#held.delete(permit);
    }
  }

  /**
   * The permits of sessions that have not tried their connection for so long that they can hold no read any more. A clock
   * that steps ahead makes all look so, until each has tried the next time: so it is looked for longer than that. Of
   * another role's sessions this is not known, unless ours may read all statistics.
   */
  async #frozenPermits(): Promise<ReadonlySet<number>> {
    const { rows } = await this.#query<{ permit: number; at: string }>(
      `SELECT l.objid::int AS permit, a.state_change::text AS at FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE l.locktype = 'advisory' AND l.classid = $1 AND l.objsubid = 2 AND l.granted
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND a.state_change < clock_timestamp() - $2::interval`,
      [PERMIT_CLASS, FROZEN],
    );
    const now = performance.now();
    const before = this.#silent;
    this.#silent = new Map(
      rows.map(({ permit, at }) => {
        const known = before.get(permit);
        return [permit, known?.at === at ? known : { at, since: now }];
      }),
    );
    const isFrozen = ([, { since }]: [number, { since: number }]) => now - since > 2 * BEAT_MS;
    return new Set([...this.#silent].filter(isFrozen).map(([permit]) => permit));
  }

  /** Gives a permit back. */
  async releasePermit(permit: number): Promise<void> {
    if (!this.lost.aborted) await this.#query("SELECT pg_advisory_unlock($1, $2)", [PERMIT_CLASS, permit]);
    this.#held.delete(permit);
  }

  /** Shows others that a worker is running, for as long as it is. */
  async announceWorker(): Promise<void> {
    await this.#query("SELECT pg_advisory_lock_shared($1, 1)", [WORKER_CLASS]);
  }

  /** Takes the lock of an inline run for as long as this process lives. @throws LockedError when another holds it */
  async lockRun(runId: string): Promise<void> {
    if (await this.#tryLock(`SELECT pg_try_advisory_lock(${runLockKey("$1::text")}) AS locked`, [runId])) return;
    throw new LockedError(
      `Run ${runId} is being worked on by another process. Wait for it, or watch it with: tallyman runs show ${runId}`,
    );
  }

  async unlockRun(runId: string): Promise<void> {
    if (!this.lost.aborted) await this.#query(`SELECT pg_advisory_unlock(${runLockKey("$1::text")})`, [runId]);
  }

  async close(): Promise<void> {
    clearInterval(this.#beats);
    await this.#client.end().catch(() => undefined);
  }

  async #tryLock(sql: string, values: unknown[]): Promise<boolean> {
    const { rows } = await this.#query<{ locked: boolean }>(sql, values);
    return rows[0]?.locked === true;
  }

  /** Tries the connection: a server that is gone, frozen or a standby by now says nothing by itself. */
  #beat(): void {
    if (this.#silentBeats >= MOST_SILENT_BEATS) {
      return this.#lose(`PostgreSQL has not answered for ${(MOST_SILENT_BEATS * BEAT_MS) / 1_000} seconds`);
    }
    if (this.#silentBeats++ > 0) return; // the last try is not answered yet
    this.#query<{ standby: boolean }>("SELECT pg_is_in_recovery() AS standby", []).then(
      ({ rows }) => {
        this.#silentBeats = 0;
        if (rows[0]?.standby !== false) this.#lose("DATABASE_URL leads to a standby now; lead it to the primary");
      },
      () => undefined, // lost already
    );
  }

  #lose(why: string, cause?: unknown): void {
    clearInterval(this.#beats);
    this.#lost.abort(new Error(`the connection that holds this process's locks was lost: ${why}`, { cause }));
    void this.#client.end().catch(() => undefined); // what still waits for an answer ends
  }

  #query<R extends pg.QueryResultRow>(sql: string, values: unknown[]): Promise<pg.QueryResult<R>> {
    const result = this.#turn.then(async () => {
      try {
        return await this.#client.query<R>(sql, values);
      } catch (error) {
        // A statement may fail before the client reports the loss.
        if (isConnectionLoss(error)) this.#lose((error as Error).message, error);
        throw error;
      }
    });
    this.#turn = result.catch(() => undefined);
    return result;
  }
}

/** How many workers run, on any machine and under any role: each holds a shared lock of this class. */
export async function countWorkers(connection: Connection): Promise<number> {
  const { rows } = await connection.query<{ workers: number }>(
    `SELECT count(*)::int AS workers FROM pg_locks
      WHERE locktype = 'advisory' AND classid = $1 AND objsubid = 2 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    [WORKER_CLASS],
  );
  return rows[0]?.workers ?? 0;
}

/**
 * Condition: the process of a claim lives no more, or has lost its locks. A claim of an earlier version names no process.
 * @param session an SQL expression for the id of its session, or null
 */
export const isSessionGone = (session: string): string =>
  `(${session} IS NOT NULL AND NOT EXISTS (
     SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = ${PROCESS_CLASS} AND objsubid = 2 AND granted
        AND objid::bigint = ${session} AND database = (SELECT oid FROM pg_database WHERE datname = current_database())))`;

/** The advisory lock of an inline run. @param runId an SQL expression for its id as text */
export const runLockKey = (runId: string): string => `hashtextextended('tallyman.run.' || ${runId}, 0)`;
