import type { ChunkPlan } from "../../../usage/plan.ts";
import type { Finding } from "../../../usage/finding.ts";
import type { MalformedPlace } from "../../../usage/malformed.ts";
import { settingsAgreed } from "../meta.ts";
import { inTransaction, type Connection, type Pool } from "../pool.ts";
import { inRacingTransaction } from "../race.ts";
import { insertRun, type RequestedRun, type RunRequest } from "./request.ts";
import type { ChunkProblem, FallenDay, Run, RunState } from "./run.ts";
import { PLACE_COLUMNS } from "../cache/malformed.ts";
import { CHUNK_SUMS, countsOfRun, endCounts, endedRun } from "./counts.ts";
import { endRun, type EndedRun } from "./end.ts";
import { stampSql } from "../stamp.ts";

/** Live counts `k` of a run `r` that is unfinished; a finished one carries its own. */
const LIVE_COUNTS = `
  LEFT JOIN LATERAL (
    SELECT ${CHUNK_SUMS} FROM usage_chunk WHERE run_id = r.id HAVING r.finished_at IS NULL AND count(*) > 0
  ) k ON true`;

const RUN_COLUMNS = `r.id, r.kind, r.inline, r.reason, r.requested_by AS "requestedBy", r.tenants, r.from_date AS "from",
  r.to_date AS "to", r.allow_shrink AS "allowShrink", r.priority, r.undoes, r.cancelled_by AS "cancelledBy", r.state, ${stampSql("r.created_at")} AS "createdAt", ${stampSql("r.started_at")} AS "startedAt",
  ${stampSql("r.finished_at")} AS "finishedAt", r.error,
  jsonb_build_object('planned', r.chunks_planned, 'done', coalesce(k.done, r.chunks_done),
                     'failed', coalesce(k.failed, r.chunks_failed)) AS chunks,
  jsonb_build_object('planned', r.days_planned, 'written', coalesce(k.written, r.days_written),
                     'unchanged', coalesce(k.unchanged, r.days_unchanged), 'stale', coalesce(k.stale, r.days_stale),
                     'refused', coalesce(k.refused, r.days_refused), 'failed', coalesce(k.days_failed, r.days_failed)) AS days,
  coalesce(k.source_events, r.source_events)::float8 AS "sourceEvents",
  coalesce(k.malformed_events, r.malformed_events)::float8 AS "malformedEvents",
  coalesce(k.fell, r.days_fell) AS "daysFell", r.finding`;

/** The reconciler tries about twelve times a minute. */
export const MAX_PLAN_ATTEMPTS = 30;

/** Runs: the requests and their outcome. One method a statement. */
export class Runs {
  readonly #pool: Pool;
  readonly #settingsHash: string;

  /** @param settingsHash runs of other settings are left to processes that have those */
  constructor(pool: Pool, settingsHash: string) {
    this.#pool = pool;
    this.#settingsHash = settingsHash;
  }

  /**
   * Inserts the run of a request as planned, unless one of the same request is there.
   *
   * @throws UsageError when the settings were changed since this process began
   */
  async create(request: RunRequest): Promise<RequestedRun> {
    return insertRun(this.#pool, request, this.#settingsHash, "planned");
  }

  /** Inserts a run whose chunks are known already, with them, in one transaction; else as create(). */
  async createRunning(request: RunRequest, chunks: readonly ChunkPlan[]): Promise<RequestedRun> {
    return inTransaction(this.#pool, async (connection) => {
      const inserted = await insertRun(connection, request, this.#settingsHash, "running");
      if (inserted.created) await start(connection, inserted.id, chunks);
      return inserted;
    });
  }

  async get(id: string): Promise<Run | undefined> {
    const { rows } = await this.#pool.query<Run>(
      `SELECT ${RUN_COLUMNS} FROM usage_run r ${LIVE_COUNTS} WHERE r.id = $1`,
      [id],
    );
    return rows[0];
  }

  /** The newest runs first. */
  async list(limit: number): Promise<Run[]> {
    const { rows } = await this.#pool.query<Run>(
      `SELECT ${RUN_COLUMNS} FROM usage_run r ${LIVE_COUNTS} ORDER BY r.created_at DESC LIMIT $1`,
      [limit],
    );
    return rows;
  }

  /** Does this run wait to be planned, with the settings of this process? */
  async isPlannable(id: string): Promise<boolean> {
    const { rowCount } = await this.#pool.query(
      "SELECT 1 FROM usage_run WHERE id = $1 AND state = 'planned' AND settings_hash = $2",
      [id, this.#settingsHash],
    );
    return rowCount === 1;
  }

  /** Inserts every chunk and starts the run, in one transaction. @returns false if another process did so before */
  async plan(id: string, chunks: readonly ChunkPlan[], finding?: Finding): Promise<boolean> {
    return inTransaction(this.#pool, async (connection) => {
      const { rows } = await connection.query(
        `SELECT 1 FROM usage_run WHERE id = $1 AND state = 'planned' AND settings_hash = $2 AND ${settingsAgreed("$2")} FOR UPDATE`,
        [id, this.#settingsHash],
      );
      if (rows.length === 0) return false;
      await start(connection, id, chunks);
      await connection.query("UPDATE usage_run SET finding = $2::jsonb WHERE id = $1", [
        id,
        finding ? JSON.stringify(finding) : null,
      ]);
      return true;
    });
  }

  /**
   * Notes why a run could not be planned; after MAX_PLAN_ATTEMPTS it has failed.
   *
   * @param counts false = a server was lost, which is no attempt
   */
  async planFailed(id: string, error: string, counts = true): Promise<void> {
    await this.#pool.query(
      `UPDATE usage_run
          SET plan_attempts = plan_attempts + $4, error = $2,
              state = CASE WHEN plan_attempts + $4 >= $3 THEN 'failed' ELSE state END,
              finished_at = CASE WHEN plan_attempts + $4 >= $3 THEN clock_timestamp() END
        WHERE id = $1 AND state = 'planned'`,
      [id, error, MAX_PLAN_ATTEMPTS, counts ? 1 : 0],
    );
  }

  /**
   * Finishes the run if no chunk of it is unfinished; anyone may call this at any time. A run with a failed chunk or
   * tenant-day has failed.
   *
   * @returns the state it ended in, or undefined if it goes on or had ended before
   */
  async finish(id: string): Promise<RunState | undefined> {
    return inRacingTransaction(this.#pool, async (connection) => {
      const { rows } = await connection.query<EndedRun>(
        `UPDATE usage_run r
            SET state = CASE WHEN k.failed + k.days_failed > 0 THEN 'failed' ELSE 'done' END, ${endCounts("k")},
                error = CASE WHEN k.failed + k.days_failed > 0
                             THEN format('%s chunks and %s tenant-days failed', k.failed, k.days_failed) END
           FROM ${countsOfRun("$1")} k
          WHERE r.id = $1 AND r.state = 'running'
            AND NOT EXISTS (SELECT 1 FROM usage_chunk u WHERE u.run_id = $1 AND u.state IN ('pending', 'running'))
         RETURNING ${endedRun("r")}`,
        [id],
      );
      if (rows[0]) await endRun(connection, rows[0]);
      return rows[0]?.state;
    });
  }

  /** The failures and refusals of a run, for `runs show`. */
  async problems(id: string): Promise<ChunkProblem[]> {
    const { rows } = await this.#pool.query<ChunkProblem>(
      `SELECT number, state, error, failed_days AS "failedDays", refused_days AS "refusedDays" FROM usage_chunk
        WHERE run_id = $1 AND (state = 'failed' OR error IS NOT NULL OR failed > 0 OR refused > 0)
        ORDER BY number LIMIT 1000`,
      [id],
    );
    return rows;
  }

  /** The final tenant-days of a run whose tokens or cost fell, the first 1,000. */
  async fallenDays(id: string): Promise<FallenDay[]> {
    const { rows } = await this.#pool.query<{ day: FallenDay }>(
      `SELECT f.day FROM usage_chunk k CROSS JOIN LATERAL jsonb_array_elements(k.fell_days) AS f (day)
        WHERE k.run_id = $1 AND k.fell > 0 ORDER BY f.day->>'tenant', f.day->>'date' LIMIT ${LISTED}`,
      [id],
    );
    return rows.map(({ day }) => day);
  }

  /** Where the events that a run has read are malformed, by tenant, field and reason, the most events first, the first 1,000. */
  async malformedPlaces(id: string): Promise<MalformedPlace[]> {
    const { rows } = await this.#pool.query<MalformedPlace>(
      `SELECT ${PLACE_COLUMNS}
         FROM usage_chunk k
        CROSS JOIN LATERAL jsonb_to_recordset(k.malformed) AS m (tenant text, field text, reason text, found text,
                                                                 events bigint, days int, "lastDay" date, "sampleId" text)
        WHERE k.run_id = $1
        GROUP BY m.tenant, m.field, m.reason ORDER BY sum(m.events) DESC, m.tenant, m.field, m.reason LIMIT ${LISTED}`,
      [id],
    );
    return rows;
  }

  /** Fallen tenant-days of the runs of the last days, those that go on included. */
  async recentlyFallen(): Promise<number> {
    const { rows } = await this.#pool.query<{ fell: number }>(
      `SELECT coalesce(sum(coalesce(k.fell, r.days_fell)), 0)::float8 AS fell
         FROM usage_run r ${LIVE_COUNTS} WHERE r.created_at > clock_timestamp() - make_interval(days => ${RECENT_DAYS})`,
    );
    return rows[0]?.fell ?? 0;
  }
}

/** Tenant-days, or places, that are listed of a run. */
const LISTED = 1_000;

/** The days of recentlyFallen(): a week end passes before somebody looks. */
export const RECENT_DAYS = 7;

/** Inserts the chunks of a run and starts it. */
async function start(connection: Connection, id: string, chunks: readonly ChunkPlan[]): Promise<void> {
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
}
