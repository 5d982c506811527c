import { pausedQueues } from "../meta.ts";
import type { Pool } from "../pool.ts";
import { chunkKindOfRun, queueOfRun, type ChunkKind } from "./run.ts";
import { runLockKey, type QueueName } from "../session.ts";
import { isFree } from "./claim.ts";

/** What a queue should carry: runs to plan, and chunks to work on. */
export interface Due {
  /** true = nothing of the queue may start */
  readonly paused: boolean;
  readonly runs: readonly DueRun[];
  readonly chunks: readonly DueChunk[];
}

export interface DueRun {
  readonly id: string;
  readonly urgency: Urgency;
}

export interface DueChunk {
  readonly runId: string;
  readonly number: number;
  readonly kind: ChunkKind;
  /** 0 goes first: a refresh; then 1 to 3, runs of high, normal and low priority */
  readonly urgency: Urgency;
  /** the claim of a process that works on it no more; null = nobody had claimed it */
  readonly lapsed: string | null;
}

export type Urgency = 0 | 1 | 2 | 3;

/** Of a run `r`. */
const URGENCY = "CASE WHEN r.kind = 'refresh' THEN 0 ELSE 2 - r.priority END";

/** Condition on a run `r`: of the queue $1, and asked for under the settings $3. */
const IN_QUEUE = `(${queueOfRun("r")}) = $1 AND r.settings_hash = $3`;

/** Condition on a run `r`: an inline run is left alone while the process that asked for it lives. */
const NOT_INLINE = `NOT (r.inline AND EXISTS (
  SELECT 1 FROM pg_locks l WHERE l.locktype = 'advisory' AND l.objsubid = 1
     AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
     AND ((l.classid::bigint << 32) | l.objid::bigint) = ${runLockKey("r.id::text")}))`;

/** What is due, as PostgreSQL knows it. */
export class DueWork {
  readonly #pool: Pool;
  readonly #settingsHash: string;

  /** @param settingsHash runs of other settings are left to processes that have those */
  constructor(pool: Pool, settingsHash: string) {
    this.#pool = pool;
    this.#settingsHash = settingsHash;
  }

  /**
   * What a queue should carry now (nothing while it is paused), the most urgent first: at most `limit` runs to plan, and as
   * many chunks. Among runs of one urgency the least advanced go first, so that a new run does not wait for a long one.
   */
  async of(queue: QueueName, limit: number): Promise<Due> {
    const paused = (await pausedQueues(this.#pool)).has(queue);
    if (paused) return { paused, runs: [], chunks: [] };
    const runs = await this.#pool.query<DueRun>(
      `SELECT r.id, ${URGENCY} AS urgency FROM usage_run r WHERE r.state = 'planned' AND ${IN_QUEUE} AND ${NOT_INLINE}
        ORDER BY ${URGENCY}, r.created_at LIMIT $2`,
      [queue, limit, this.#settingsHash],
    );
    const chunks = await this.#pool.query<DueChunk>(
      `SELECT r.id AS "runId", k.number, ${chunkKindOfRun("r")} AS kind, ${URGENCY} AS urgency, k.claim AS lapsed
         FROM usage_run r
         CROSS JOIN LATERAL (
           SELECT u.number, u.claim FROM usage_chunk u
            WHERE u.run_id = r.id AND u.state IN ('pending', 'running') AND ${isFree("u")}
            ORDER BY u.number LIMIT $2) k
        WHERE r.state = 'running' AND ${IN_QUEUE} AND ${NOT_INLINE}
        ORDER BY urgency, k.number, r.created_at, r.id LIMIT $2`,
      [queue, limit, this.#settingsHash],
    );
    return { paused, runs: runs.rows, chunks: chunks.rows };
  }

  /** Running runs of which no chunk is unfinished: a process died between its last commit and the finish. */
  async unfinishedButDone(): Promise<string[]> {
    const { rows } = await this.#pool.query<{ id: string }>(
      `SELECT r.id FROM usage_run r WHERE r.state = 'running' AND NOT EXISTS
         (SELECT 1 FROM usage_chunk k WHERE k.run_id = r.id AND k.state IN ('pending', 'running'))`,
    );
    return rows.map(({ id }) => id);
  }
}
