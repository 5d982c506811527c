import type { Pool } from "./pool.ts";
import { RUN_LOCK_KEY, type Lane } from "./slots.ts";

/** What a queue should carry: runs to plan, and chunks to work on. */
export interface Due {
  readonly runs: readonly string[];
  readonly chunks: readonly DueChunk[];
}

export interface DueChunk {
  readonly runId: string;
  readonly number: number;
  readonly isUndo: boolean;
}

/** Of the lane $1, and asked for under the settings $3. */
const IN_LANE =
  "(CASE WHEN r.kind IN ('nightly', 'refresh') THEN 'fresh' ELSE 'bulk' END) = $1 AND r.settings_hash = $3";

/** An inline run is left alone while the process that asked for it lives. */
const NOT_INLINE = `NOT (r.inline AND EXISTS (
  SELECT 1 FROM pg_locks l WHERE l.locktype = 'advisory' AND l.objsubid = 1
     AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
     AND ((l.classid::bigint << 32) | l.objid::bigint) = ${RUN_LOCK_KEY.replace("$1::text", "r.id::text")}))`;

/** What a queue should carry now, oldest run first: runs to plan, and at most `limit` chunks to work on. */
export async function dueWork(pool: Pool, settingsHash: string, lane: Lane, limit: number): Promise<Due> {
  const runs = await pool.query<{ id: string }>(
    `SELECT r.id FROM usage_run r WHERE r.state = 'planned' AND ${IN_LANE} AND ${NOT_INLINE} ORDER BY r.created_at LIMIT $2`,
    [lane, limit, settingsHash],
  );
  const chunks = await pool.query<DueChunk>(
    `SELECT k.run_id AS "runId", k.number, r.kind = 'undo' AS "isUndo"
       FROM usage_run r JOIN usage_chunk k ON k.run_id = r.id
      WHERE r.state = 'running' AND ${IN_LANE} AND ${NOT_INLINE} AND k.state IN ('pending', 'running')
        AND k.not_before <= clock_timestamp() AND (k.state = 'pending' OR k.lease_until < clock_timestamp())
      ORDER BY r.created_at, k.run_id, k.number LIMIT $2`,
    [lane, limit, settingsHash],
  );
  return { runs: runs.rows.map(({ id }) => id), chunks: chunks.rows };
}

/** Running runs of which no chunk is unfinished: a process died between its last commit and the finish. */
export async function unfinishedButDone(pool: Pool): Promise<string[]> {
  const { rows } = await pool.query<{ id: string }>(
    `SELECT r.id FROM usage_run r WHERE r.state = 'running' AND NOT EXISTS
       (SELECT 1 FROM usage_chunk k WHERE k.run_id = r.id AND k.state IN ('pending', 'running'))`,
  );
  return rows.map(({ id }) => id);
}
