import { randomUUID } from "node:crypto";
import { classify } from "../../usage/classify.ts";
import { dayKey, lockRows, recordChanges, touchRows, upsertRows, type CacheRow, type Change } from "./cache.ts";
import { inTransaction, type Connection, type Pool } from "./pool.ts";
import { listTenantDays, type TenantDays } from "../../usage/plan.ts";
import { settleDirty } from "./dirty.ts";
import type { FailedDay, RunKind } from "./runs.ts";

/** A process that has not renewed its claim for this long is taken to be dead. */
export const LEASE_SECONDS = 60;
/** Errors that a chunk may meet, and claims that may move nothing, before it fails. */
export const MAX_ATTEMPTS = 5;
export const MAX_CLAIMS = 10;
/** Doubled after each error, so that a server may be away for more than a minute before a chunk fails. */
const FIRST_PAUSE_SECONDS = 5;

/** The right of one process to work on one chunk. */
export interface Claim {
  readonly runId: string;
  readonly number: number;
  readonly id: string;
  readonly kind: RunKind;
  readonly spans: readonly TenantDays[];
  /** how many of its tenant-days are done */
  readonly cursor: number;
}

/** The claim is another's now, or the run was cancelled: nothing of this batch was written. */
export class ClaimLostError extends Error {
  override readonly name = "ClaimLostError";
}

/** What became of the tenant-days of one batch. */
export interface BatchCounts {
  readonly written: number;
  readonly unchanged: number;
  readonly stale: number;
  readonly failed: number;
}

/** A newer read took a row between its lock and the upsert: the batch has to be classified again. */
class RaceError extends Error {
  constructor() {
    super("rows kept changing between their lock and the upsert");
  }
}

/** Chunks: claimed by one process at a time, worked on in order, written batch by batch. */
export class Chunks {
  readonly #pool: Pool;
  readonly #settingsHash: string;
  readonly #owner: string;

  /** @param owner who claims, for a person who reads the table: "host:pid" */
  constructor(pool: Pool, settingsHash: string, owner: string) {
    this.#pool = pool;
    this.#settingsHash = settingsHash;
    this.#owner = owner;
  }

  /**
   * Claims a chunk that is pending, or whose claimant is dead, under the settings its run was planned with. One that
   * was claimed too often without moving fails here.
   */
  async claim(runId: string, number: number): Promise<Claim | undefined> {
    const id = randomUUID();
    const { rows } = await this.#pool.query<{ spans: TenantDays[]; cursor: number; claims: number; kind: RunKind }>(
      `UPDATE usage_chunk k
          SET state = 'running', claim = $3, claimed_by = $4, claims = k.claims + 1,
              lease_until = clock_timestamp() + make_interval(secs => $6)
         FROM usage_run r
        WHERE k.run_id = $1 AND k.number = $2 AND r.id = k.run_id AND r.state = 'running' AND r.settings_hash = $5
          AND k.not_before <= clock_timestamp()
          AND (k.state = 'pending' OR (k.state = 'running' AND k.lease_until < clock_timestamp()))
       RETURNING k.payload AS spans, k.cursor, k.claims, r.kind`,
      [runId, number, id, this.#owner, this.#settingsHash, LEASE_SECONDS],
    );
    const row = rows[0];
    if (!row) return undefined;
    const claim = { runId, number, id, kind: row.kind, spans: row.spans, cursor: row.cursor };
    if (row.claims <= MAX_CLAIMS) return claim;
    await this.fail(claim, `claimed ${MAX_CLAIMS} times without progress`);
    return undefined;
  }

  /** The numbers of a run's chunks that a process may claim now, in order. */
  async claimable(runId: string): Promise<number[]> {
    const { rows } = await this.#pool.query<{ number: number }>(
      `SELECT number FROM usage_chunk WHERE run_id = $1 AND not_before <= clock_timestamp()
          AND (state = 'pending' OR (state = 'running' AND lease_until < clock_timestamp())) ORDER BY number`,
      [runId],
    );
    return rows.map(({ number }) => number);
  }

  /** Renews the claim. @returns false when it is lost */
  async renew(claim: Claim): Promise<boolean> {
    return this.#update(claim, "lease_until = clock_timestamp() + make_interval(secs => $4)", [LEASE_SECONDS]);
  }

  /**
   * Stores one batch in one transaction: locks the chunk under this claim and the rows in key order, classifies,
   * upserts what is new or changed, moves the stamp of what is not, records the changes, and moves the cursor.
   *
   * @param failures tenant-days of this batch that could not be read; they go to `usage_dirty`
   * @throws ClaimLostError when the claim is another's or the run was cancelled
   */
  async write(
    claim: Claim,
    rows: readonly CacheRow[],
    failures: readonly FailedDay[],
    cursor: number,
  ): Promise<BatchCounts> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await inTransaction(this.#pool, (connection) =>
          this.#writeOnce(connection, claim, rows, failures, cursor),
        );
      } catch (error) {
        const isRace = error instanceof RaceError || (error as { code?: string }).code === "40P01";
        if (!isRace || attempt === 10) throw error;
      }
    }
  }

  async #writeOnce(
    connection: Connection,
    claim: Claim,
    rows: readonly CacheRow[],
    failures: readonly FailedDay[],
    cursor: number,
  ): Promise<BatchCounts> {
    const own = await connection.query(
      "SELECT 1 FROM usage_chunk WHERE run_id = $1 AND number = $2 AND claim = $3 AND state = 'running' FOR NO KEY UPDATE",
      [claim.runId, claim.number, claim.id],
    );
    if (own.rows.length === 0)
      throw new ClaimLostError(`chunk ${claim.number} of run ${claim.runId} is not ours any more`);

    const { rows: stored, now } = await lockRows(connection, rows);
    const written: CacheRow[] = [];
    const unchanged: CacheRow[] = [];
    for (const row of rows) {
      const before = stored.get(dayKey(row));
      const fresh = { readAt: row.readAt, contentHash: row.documents.contentHash };
      const outcome = classify(before, fresh, now);
      if (outcome === "new" || outcome === "changed") written.push(row);
      else if (outcome === "unchanged") unchanged.push(row);
    }
    const revisions = await upsertRows(connection, written);
    const touched = await touchRows(connection, unchanged);
    const raced = written.some((row) => {
      const revision = revisions.get(dayKey(row));
      return revision === undefined || (revision > 1 && !stored.has(dayKey(row)));
    });
    if (raced || touched !== unchanged.length) throw new RaceError();

    const counts = {
      written: written.length,
      unchanged: unchanged.length,
      stale: rows.length - written.length - unchanged.length,
      failed: failures.length,
    };
    await settleDirty(connection, rows, failures);
    await this.#advance(connection, claim, counts, rows, failures, cursor);
    const changes = written.map((row): Change => {
      return { row, revision: revisions.get(dayKey(row)) as number, before: stored.get(dayKey(row)) };
    });
    await recordChanges(connection, claim.runId, changes);
    return counts;
  }

  async #advance(
    connection: Connection,
    claim: Claim,
    counts: BatchCounts,
    rows: readonly CacheRow[],
    failures: readonly FailedDay[],
    cursor: number,
  ): Promise<void> {
    const total = (pick: (row: CacheRow) => number | bigint) =>
      rows.reduce((sum, row) => sum + BigInt(pick(row)), 0n).toString();
    await connection.query(
      `UPDATE usage_chunk
          SET cursor = $3, written = written + $4, unchanged = unchanged + $5, stale = stale + $6, failed = failed + $7,
              failed_days = failed_days || $8::jsonb, source_events = source_events + $9,
              malformed_events = malformed_events + $10, claims = 0,
              lease_until = clock_timestamp() + make_interval(secs => $11)
        WHERE run_id = $1 AND number = $2`,
      [
        claim.runId,
        claim.number,
        cursor,
        counts.written,
        counts.unchanged,
        counts.stale,
        counts.failed,
        JSON.stringify(failures),
        total(({ totals }) => totals.requests),
        total(({ malformed }) => malformed),
        LEASE_SECONDS,
      ],
    );
  }

  /** Every tenant-day of the chunk is done. */
  async done(claim: Claim): Promise<void> {
    await this.#update(claim, "state = 'done', claim = NULL, lease_until = NULL, error = NULL");
  }

  /** Gives the chunk back as it stands, for anyone to go on; costs neither an attempt nor a claim. */
  async handBack(claim: Claim): Promise<void> {
    await this.#update(claim, "state = 'pending', claim = NULL, lease_until = NULL, claims = greatest(claims - 1, 0)");
  }

  /** Gives the chunk back after an error, to be tried again after a pause that doubles; the fifth error fails it. */
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

  /** Ends the chunk; tenant-days that it did not come to count as failed and stay in `usage_dirty`. */
  async fail(claim: Claim, error: string): Promise<void> {
    await inTransaction(this.#pool, async (connection) => {
      const { rows } = await connection.query<{ cursor: number }>(
        `UPDATE usage_chunk SET state = 'failed', claim = NULL, lease_until = NULL, attempts = attempts + 1, error = $4,
                failed = planned - written - unchanged - stale - refused
          WHERE run_id = $1 AND number = $2 AND claim = $3 RETURNING cursor`,
        [claim.runId, claim.number, claim.id, error],
      );
      if (!rows[0]) return;
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

/** Renews a claim until it is stopped; `lost` aborts when the claim is another's or the run was cancelled. */
export function keepClaim(chunks: Chunks, claim: Claim): { readonly lost: AbortSignal; stop(): void } {
  const lost = new AbortController();
  const timer = setInterval(
    () => {
      chunks.renew(claim).then(
        (renewed) => {
          if (!renewed) lost.abort(new ClaimLostError("the claim is another's, or the run was cancelled"));
        },
        () => undefined, // the write decides; a lease outlives three renewals that fail
      );
    },
    (LEASE_SECONDS * 1_000) / 4,
  );
  timer.unref();
  return { lost: lost.signal, stop: () => clearInterval(timer) };
}
