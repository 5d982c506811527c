import { randomUUID } from "node:crypto";
import { listTenantDays } from "../../../usage/plan.ts";
import { isFree, LEASE_SECONDS, type Claim } from "./claim.ts";
import { settleDirty } from "../dirty.ts";
import { queuePaused, settingsAgreed } from "../meta.ts";
import { inTransaction, type Pool } from "../pool.ts";
import { chunkKindOfRun, queueOfRun, type ChunkKind } from "./run.ts";

/** A chunk fails after so many errors, or so many claims without progress. */
export const MAX_ATTEMPTS = 5;
export const MAX_CLAIMS = 10;
/** Doubled after each error. */
export const FIRST_PAUSE_SECONDS = 5;
/** Before a chunk is tried again that lost its server. */
const LOST_PAUSE_SECONDS = 5;

/** Chunks: claimed by one process at a time, worked on in order, written batch by batch. */
export class Chunks {
  readonly #pool: Pool;
  readonly #settingsHash: string;
  readonly #owner: string;
  readonly #session: number;

  /**
   * @param owner shown in the table: "host:pid"
   * @param session the id of the session that holds this process's locks
   */
  constructor(pool: Pool, settingsHash: string, owner: string, session: number) {
    this.#pool = pool;
    this.#settingsHash = settingsHash;
    this.#owner = owner;
    this.#session = session;
  }

  /**
   * Claims a chunk of the given kind that nobody works on, if its run was planned with this process's settings and its
   * queue is not paused. Fails a chunk that was claimed too often without progress.
   */
  async claim(runId: string, number: number, kind: ChunkKind = "rebuild"): Promise<Claim | undefined> {
    const id = randomUUID();
    const { rows } = await this.#pool.query<Omit<Claim, "runId" | "number" | "id"> & { claims: number }>(
      `UPDATE usage_chunk k
          SET state = 'running', claim = $3, claimed_by = $4, claimed_session = $8, claims = k.claims + 1,
              lease_until = clock_timestamp() + make_interval(secs => $6)
         FROM usage_run r
        WHERE k.run_id = $1 AND k.number = $2 AND r.id = k.run_id AND r.state = 'running'
          AND ${chunkKindOfRun("r")} = $7
          AND r.settings_hash = $5 AND ${settingsAgreed("$5")} AND (r.inline OR NOT ${queuePaused(queueOfRun("r"))})
          AND ${isFree("k")}
       RETURNING k.payload AS spans, k.cursor, k.claims, r.kind, r.allow_shrink AS "allowShrink", r.undoes`,
      [runId, number, id, this.#owner, this.#settingsHash, LEASE_SECONDS, kind, this.#session],
    );
    const row = rows[0];
    if (!row) return undefined;
    const { claims, ...rest } = row;
    const claim: Claim = { runId, number, id, ...rest };
    if (claims <= MAX_CLAIMS) return claim;
    await this.fail(claim, `claimed ${MAX_CLAIMS} times without progress`);
    return undefined;
  }

  /** The numbers of a run's chunks that a process may claim now, in order. */
  async claimable(runId: string): Promise<number[]> {
    const { rows } = await this.#pool.query<{ number: number }>(
      `SELECT k.number FROM usage_chunk k WHERE k.run_id = $1 AND ${isFree("k")} ORDER BY k.number`,
      [runId],
    );
    return rows.map(({ number }) => number);
  }

  /** Renews the claim. @returns false when it is lost */
  async renew(claim: Claim): Promise<boolean> {
    return this.#update(claim, "lease_until = clock_timestamp() + make_interval(secs => $4)", [LEASE_SECONDS]);
  }

  /** Every tenant-day of the chunk is done. */
  async done(claim: Claim): Promise<void> {
    await this.#update(claim, "state = 'done', claim = NULL, lease_until = NULL, error = NULL");
  }

  /** Hands the chunk back as it is; counts as neither an attempt nor a claim. */
  async handBack(claim: Claim): Promise<void> {
    await this.#update(claim, "state = 'pending', claim = NULL, lease_until = NULL, claims = greatest(claims - 1, 0)");
  }

  /** Hands the chunk back because a server was lost: no attempt, since nothing is wrong with the chunk. */
  async waitForServer(claim: Claim, error: string): Promise<void> {
    await this.#update(
      claim,
      `state = 'pending', claim = NULL, lease_until = NULL, error = $4,
       not_before = clock_timestamp() + make_interval(secs => $5)`,
      [error, LOST_PAUSE_SECONDS],
    );
  }

  /** Hands the chunk back after an error, for another try after a pause that doubles; the fifth error fails it. */
  async retryLater(claim: Claim, error: string): Promise<void> {
    const retried = await this.#update(
      claim,
      `state = 'pending', claim = NULL, lease_until = NULL, attempts = attempts + 1, error = $4,
       not_before = clock_timestamp() + make_interval(secs => $5 * power(2, attempts))`,
      [error, FIRST_PAUSE_SECONDS],
      `AND attempts + 1 < ${MAX_ATTEMPTS}`,
    );
    if (!retried) await this.fail(claim, error);
  }

  /** Fails the chunk; tenant-days that it did not reach count as failed and stay in `usage_dirty`. */
  async fail(claim: Claim, error: string): Promise<void> {
    await inTransaction(this.#pool, async (connection) => {
      const { rows } = await connection.query<{ cursor: number }>(
        `UPDATE usage_chunk SET state = 'failed', claim = NULL, lease_until = NULL, attempts = attempts + 1, error = $4,
                failed = planned - written - unchanged - stale - refused
          WHERE run_id = $1 AND number = $2 AND claim = $3 RETURNING cursor`,
        [claim.runId, claim.number, claim.id, error],
      );
      if (!rows[0] || claim.kind === "undo") return; // rows that an undo did not reach are unchanged
      const left = listTenantDays(claim.spans).slice(rows[0].cursor);
      await settleDirty(
        connection,
        [],
        left.map((day) => ({ ...day, error })),
      );
    });
  }

  async #update(claim: Claim, set: string, values: readonly unknown[] = [], condition = ""): Promise<boolean> {
    const { rowCount } = await this.#pool.query(
      `UPDATE usage_chunk SET ${set} WHERE run_id = $1 AND number = $2 AND claim = $3 AND state = 'running' ${condition}`,
      [claim.runId, claim.number, claim.id, ...values],
    );
    return rowCount === 1;
  }
}
