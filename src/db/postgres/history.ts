import { moveMark } from "./meta.ts";
import type { Pool } from "./pool.ts";

/** Retention of the history, in days. */
export interface HistoryRetention {
  /** changes, runs that ended, and audits */
  readonly historyDays: number;
  /** the rows that a run replaced, by the run's end */
  readonly undoDays: number;
}

/** Rows that one statement removes in some tens of milliseconds, so that nobody waits for it. */
const BATCH = 10_000;
/** Fewer, since removing a run removes all its chunks. */
const RUN_BATCH = 100;

/** Condition on a run: it ended so many days ago, and no undo of it goes on. */
const isLongEnded = (run: string, days: string): string =>
  `${run}.state NOT IN ('planned', 'running') AND ${run}.finished_at < clock_timestamp() - make_interval(days => ${days})
   AND NOT EXISTS (SELECT FROM usage_run u WHERE u.undoes = ${run}.id AND u.state IN ('planned', 'running'))`;

/** The history and its trimming. Each method removes one batch. @returns the number of removed rows; 0 = none is left */
export class History {
  readonly #pool: Pool;
  readonly #retention: HistoryRetention;

  constructor(pool: Pool, retention: HistoryRetention) {
    this.#pool = pool;
    this.#retention = retention;
  }

  /**
   * Removes the oldest changes, and stores the highest removed id in the same statement. Removes only a prefix of the ids,
   * whatever their times: a reader whose cursor is not below that id has missed nothing.
   */
  async trimChanges(): Promise<number> {
    const { rows } = await this.#pool.query<{ count: number }>(
      `WITH oldest AS MATERIALIZED (
         SELECT id, changed_at < clock_timestamp() - make_interval(days => $1) AS is_old
           FROM usage_change ORDER BY id LIMIT $2
       ), removed AS (
         DELETE FROM usage_change c USING oldest o
          WHERE c.id = o.id AND o.is_old AND (o.id < (SELECT min(id) FROM oldest WHERE NOT is_old)
                                              OR (SELECT bool_and(is_old) FROM oldest))
         RETURNING c.id
       ), marked AS (
         ${moveMark("changes_trimmed", "SELECT max(id) AS through FROM removed HAVING count(*) > 0")}
       )
       SELECT count(*)::int FROM removed`,
      [this.#retention.historyDays, BATCH],
    );
    return rows[0]?.count ?? 0;
  }

  /**
   * Removes finished runs with their chunks. The newest nightly run stays, since it keeps a starting worker from repeating
   * that night.
   */
  async trimRuns(): Promise<number> {
    const { rowCount } = await this.#pool.query(
      `DELETE FROM usage_run WHERE id IN (
         SELECT r.id FROM usage_run r
          WHERE ${isLongEnded("r", "$1")}
            AND r.id NOT IN (SELECT id FROM usage_run WHERE kind = 'nightly' ORDER BY created_at DESC LIMIT 1)
          ORDER BY r.finished_at LIMIT $2)
        AND state NOT IN ('planned', 'running') -- one that is resumed at this moment`,
      [this.#retention.historyDays, RUN_BATCH],
    );
    return rowCount ?? 0;
  }

  /** Removes kept rows of runs in batches; removing a run would remove all of its rows at once. */
  async trimUndo(): Promise<number> {
    const { rowCount } = await this.#pool.query(
      `DELETE FROM usage_undo WHERE ctid = ANY (ARRAY(
         SELECT o.ctid FROM usage_run r JOIN usage_undo o ON o.run_id = r.id WHERE ${isLongEnded("r", "$1")} LIMIT $2))`,
      [Math.min(this.#retention.undoDays, this.#retention.historyDays), BATCH],
    );
    return rowCount ?? 0;
  }

  /** Removes audits. */
  async trimAudits(): Promise<number> {
    const { rowCount } = await this.#pool.query(
      `DELETE FROM usage_audit WHERE id IN (
         SELECT id FROM usage_audit WHERE finished_at < clock_timestamp() - make_interval(days => $1) LIMIT $2)`,
      [this.#retention.historyDays, BATCH],
    );
    return rowCount ?? 0;
  }

  /** Removes malformed fields of rows that somebody deleted, or that a worker of a former version found without any. */
  async trimMalformed(): Promise<number> {
    const { rowCount } = await this.#pool.query(
      `DELETE FROM usage_malformed WHERE ctid = ANY (ARRAY(
         SELECT m.ctid FROM usage_malformed m
          WHERE NOT EXISTS (SELECT FROM daily_usage_cache c
                             WHERE c.tenant_id = m.tenant_id AND c.date = m.date AND c.malformed_events > 0)
          LIMIT $1))`,
      [BATCH],
    );
    return rowCount ?? 0;
  }
}
