import type { Day } from "../../usage/day.ts";
import type { ChunkPlan } from "../../usage/plan.ts";
import { inTransaction, type Pool } from "./pool.ts";
import { RUN_LOCK_KEY, type Lane } from "./slots.ts";
import { stampSql } from "./stamp.ts";

export type RunKind = "nightly" | "backfill" | "refresh" | "repair" | "undo";
export type RunState = "planned" | "running" | "done" | "failed" | "cancelled";

/** What is asked for. */
export interface RunRequest {
  readonly id: string;
  readonly kind: RunKind;
  /** worked on by the asking process alone, without the queue */
  readonly inline: boolean;
  readonly reason: string | null;
  readonly requestedBy: string;
  /** two requests with one key are one run: for ever for a nightly slot, while it is unfinished for the others */
  readonly dedupeKey: string;
  readonly settingsHash: string;
  /** undefined = every tenant */
  readonly tenants: readonly string[] | undefined;
  readonly from: Day;
  readonly to: Day;
}

/** A run as `runs show` prints it; counts are live while it runs. */
export interface Run {
  readonly id: string;
  readonly kind: RunKind;
  readonly inline: boolean;
  readonly reason: string | null;
  readonly requestedBy: string;
  readonly tenants: readonly string[] | null;
  readonly from: Day;
  readonly to: Day;
  readonly state: RunState;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  readonly chunks: { readonly planned: number; readonly done: number; readonly failed: number };
  readonly days: {
    readonly planned: number;
    readonly written: number;
    readonly unchanged: number;
    readonly stale: number;
    readonly refused: number;
    readonly failed: number;
  };
  readonly sourceEvents: number;
  readonly malformedEvents: number;
  readonly error: string | null;
}

/** Live counts of a run that is unfinished; a finished one carries its own. */
const CHUNK_SUMS = `
  LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE k.state = 'done')::int AS done, count(*) FILTER (WHERE k.state = 'failed')::int AS failed,
           sum(k.written)::int AS written, sum(k.unchanged)::int AS unchanged, sum(k.stale)::int AS stale,
           sum(k.refused)::int AS refused, sum(k.failed)::int AS days_failed,
           sum(k.source_events)::bigint AS source_events, sum(k.malformed_events)::bigint AS malformed_events
      FROM usage_chunk k WHERE k.run_id = r.id HAVING r.finished_at IS NULL AND count(*) > 0
  ) k ON true`;

const RUN_COLUMNS = `r.id, r.kind, r.inline, r.reason, r.requested_by AS "requestedBy", r.tenants, r.from_date AS "from",
  r.to_date AS "to", r.state, ${stampSql("r.created_at")} AS "createdAt", ${stampSql("r.started_at")} AS "startedAt",
  ${stampSql("r.finished_at")} AS "finishedAt", r.error,
  jsonb_build_object('planned', r.chunks_planned, 'done', coalesce(k.done, r.chunks_done),
                     'failed', coalesce(k.failed, r.chunks_failed)) AS chunks,
  jsonb_build_object('planned', r.days_planned, 'written', coalesce(k.written, r.days_written),
                     'unchanged', coalesce(k.unchanged, r.days_unchanged), 'stale', coalesce(k.stale, r.days_stale),
                     'refused', coalesce(k.refused, r.days_refused), 'failed', coalesce(k.days_failed, r.days_failed)) AS days,
  coalesce(k.source_events, r.source_events)::float8 AS "sourceEvents",
  coalesce(k.malformed_events, r.malformed_events)::float8 AS "malformedEvents"`;

/** The reconciler tries about four times a minute. */
const MAX_PLAN_ATTEMPTS = 10;

/** Runs: what was asked for and what came of it. One exported method a statement. */
export class Runs {
  readonly #pool: Pool;
  readonly #settingsHash: string;

  /** @param settingsHash runs planned under other settings are left to processes that have those */
  constructor(pool: Pool, settingsHash: string) {
    this.#pool = pool;
    this.#settingsHash = settingsHash;
  }

  /** Inserts the run as planned, unless one with its key is there. @returns the id of the run that stands */
  async create(request: RunRequest): Promise<{ id: string; created: boolean }> {
    for (;;) {
      const inserted = await this.#pool.query<{ id: string }>(
        `INSERT INTO usage_run (id, kind, inline, reason, requested_by, dedupe_key, settings_hash, tenants, from_date, to_date)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text[], $9::date, $10::date)
         ON CONFLICT DO NOTHING RETURNING id`,
        [
          request.id,
          request.kind,
          request.inline,
          request.reason,
          request.requestedBy,
          request.dedupeKey,
          request.settingsHash,
          request.tenants ?? null,
          request.from,
          request.to,
        ],
      );
      if (inserted.rows[0]) return { id: inserted.rows[0].id, created: true };
      const { rows } = await this.#pool.query<{ id: string }>(
        `SELECT id FROM usage_run
          WHERE id = $2 OR (dedupe_key = $1 AND (kind = 'nightly' OR state IN ('planned', 'running')))
          ORDER BY created_at DESC LIMIT 1`,
        [request.dedupeKey, request.id],
      );
      if (rows[0]) return { id: rows[0].id, created: false };
      // It finished between the two statements: ask again.
    }
  }

  async get(id: string): Promise<Run | undefined> {
    const { rows } = await this.#pool.query<Run>(
      `SELECT ${RUN_COLUMNS} FROM usage_run r ${CHUNK_SUMS} WHERE r.id = $1`,
      [id],
    );
    return rows[0];
  }

  /** The newest runs first. */
  async list(limit: number): Promise<Run[]> {
    const { rows } = await this.#pool.query<Run>(
      `SELECT ${RUN_COLUMNS} FROM usage_run r ${CHUNK_SUMS} ORDER BY r.created_at DESC LIMIT $1`,
      [limit],
    );
    return rows;
  }

  /** Is this a run that waits to be planned, under the settings of this process? */
  async isPlannable(id: string): Promise<boolean> {
    const { rowCount } = await this.#pool.query(
      "SELECT 1 FROM usage_run WHERE id = $1 AND state = 'planned' AND settings_hash = $2",
      [id, this.#settingsHash],
    );
    return rowCount === 1;
  }

  /** Inserts every chunk and starts the run, in one transaction. Does nothing if somebody did so before. */
  async plan(id: string, chunks: readonly ChunkPlan[]): Promise<boolean> {
    return inTransaction(this.#pool, async (connection) => {
      const { rows } = await connection.query(
        "SELECT 1 FROM usage_run WHERE id = $1 AND state = 'planned' AND settings_hash = $2 FOR UPDATE",
        [id, this.#settingsHash],
      );
      if (rows.length === 0) return false;
      await connection.query(
        `INSERT INTO usage_chunk (run_id, number, payload, planned)
         SELECT $1, u.number, u.payload::jsonb, u.planned
           FROM unnest($2::int[], $3::text[], $4::int[]) AS u (number, payload, planned)`,
        [
          id,
          chunks.map((_, number) => number),
          chunks.map(({ spans }) => JSON.stringify(spans)),
          chunks.map(({ days }) => days),
        ],
      );
      await connection.query(
        `UPDATE usage_run SET state = 'running', started_at = clock_timestamp(), chunks_planned = $2, days_planned = $3
          WHERE id = $1`,
        [id, chunks.length, chunks.reduce((sum, { days }) => sum + days, 0)],
      );
      return true;
    });
  }

  /** Notes why a run could not be planned; after MAX_PLAN_ATTEMPTS it has failed. */
  async planFailed(id: string, error: string): Promise<void> {
    await this.#pool.query(
      `UPDATE usage_run
          SET plan_attempts = plan_attempts + 1, error = $2,
              state = CASE WHEN plan_attempts + 1 >= $3 THEN 'failed' ELSE state END,
              finished_at = CASE WHEN plan_attempts + 1 >= $3 THEN clock_timestamp() END
        WHERE id = $1 AND state = 'planned'`,
      [id, error, MAX_PLAN_ATTEMPTS],
    );
  }

  /**
   * Finishes the run if no chunk of it is unfinished; anyone may call this at any time. A run with a failed chunk or
   * tenant-day has failed.
   *
   * @returns the state it ended in, or undefined if it goes on or had ended before
   */
  async finish(id: string): Promise<RunState | undefined> {
    const { rows } = await this.#pool.query<{ state: RunState }>(
      `UPDATE usage_run r
          SET state = CASE WHEN k.failed + k.days_failed > 0 THEN 'failed' ELSE 'done' END, finished_at = clock_timestamp(),
              chunks_done = k.done, chunks_failed = k.failed, days_written = k.written, days_unchanged = k.unchanged,
              days_stale = k.stale, days_refused = k.refused, days_failed = k.days_failed,
              source_events = k.source_events, malformed_events = k.malformed_events,
              error = CASE WHEN k.failed + k.days_failed > 0
                           THEN format('%s chunks and %s tenant-days failed', k.failed, k.days_failed) END
         FROM (SELECT count(*) FILTER (WHERE state = 'done') AS done, count(*) FILTER (WHERE state = 'failed') AS failed,
                      coalesce(sum(written), 0) AS written, coalesce(sum(unchanged), 0) AS unchanged,
                      coalesce(sum(stale), 0) AS stale, coalesce(sum(refused), 0) AS refused,
                      coalesce(sum(failed), 0) AS days_failed, coalesce(sum(source_events), 0) AS source_events,
                      coalesce(sum(malformed_events), 0) AS malformed_events
                 FROM usage_chunk WHERE run_id = $1) k
        WHERE r.id = $1 AND r.state = 'running'
          AND NOT EXISTS (SELECT 1 FROM usage_chunk u WHERE u.run_id = $1 AND u.state IN ('pending', 'running'))
       RETURNING r.state`,
      [id],
    );
    return rows[0]?.state;
  }

  /** What the queue should carry now, oldest run first: runs to plan, and at most `limit` chunks to work on. */
  async due(lane: Lane, limit: number): Promise<{ runs: string[]; chunks: { runId: string; number: number }[] }> {
    const runs = await this.#pool.query<{ id: string }>(
      `SELECT r.id FROM usage_run r WHERE r.state = 'planned' AND ${IN_LANE} AND ${NOT_INLINE} ORDER BY r.created_at LIMIT $2`,
      [lane, limit, this.#settingsHash],
    );
    const chunks = await this.#pool.query<{ runId: string; number: number }>(
      `SELECT k.run_id AS "runId", k.number FROM usage_run r JOIN usage_chunk k ON k.run_id = r.id
        WHERE r.state = 'running' AND ${IN_LANE} AND ${NOT_INLINE} AND k.state IN ('pending', 'running')
          AND k.not_before <= clock_timestamp() AND (k.state = 'pending' OR k.lease_until < clock_timestamp())
        ORDER BY r.created_at, k.run_id, k.number LIMIT $2`,
      [lane, limit, this.#settingsHash],
    );
    return { runs: runs.rows.map(({ id }) => id), chunks: chunks.rows };
  }

  /** Running runs of which no chunk is unfinished: a process died between its last commit and the finish. */
  async unfinishedButDone(): Promise<string[]> {
    const { rows } = await this.#pool.query<{ id: string }>(
      `SELECT r.id FROM usage_run r WHERE r.state = 'running' AND NOT EXISTS
         (SELECT 1 FROM usage_chunk k WHERE k.run_id = r.id AND k.state IN ('pending', 'running'))`,
    );
    return rows.map(({ id }) => id);
  }

  /** What failed in a run, for `runs show`. */
  async problems(
    id: string,
  ): Promise<{ number: number; state: string; error: string | null; failedDays: FailedDay[] }[]> {
    const { rows } = await this.#pool.query<{
      number: number;
      state: string;
      error: string | null;
      failedDays: FailedDay[];
    }>(
      `SELECT number, state, error, failed_days AS "failedDays" FROM usage_chunk
        WHERE run_id = $1 AND (state = 'failed' OR error IS NOT NULL OR failed > 0) ORDER BY number LIMIT 1000`,
      [id],
    );
    return rows;
  }
}

/** A tenant-day that could not be computed, and why. */
export interface FailedDay {
  readonly tenant: string;
  readonly date: Day;
  readonly error: string;
}

/** The nightly rebuild and the refresh go first, in a queue of their own. */
export function laneOf(kind: RunKind): Lane {
  return kind === "nightly" || kind === "refresh" ? "fresh" : "bulk";
}

/** Of the lane $1, and asked for under the settings $3. */
const IN_LANE =
  "(CASE WHEN r.kind IN ('nightly', 'refresh') THEN 'fresh' ELSE 'bulk' END) = $1 AND r.settings_hash = $3";

/** An inline run is left alone while the process that asked for it lives. */
const NOT_INLINE = `NOT (r.inline AND EXISTS (
  SELECT 1 FROM pg_locks l WHERE l.locktype = 'advisory' AND l.objsubid = 1
     AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
     AND ((l.classid::bigint << 32) | l.objid::bigint) = ${RUN_LOCK_KEY.replace("$1::text", "r.id::text")}))`;
