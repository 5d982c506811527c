import { isFutureStamp, type Stamp } from "../../../usage/stamp.ts";
import { classify, fallenMeasures, type Allowance, type Outcome } from "../../../usage/classify.ts";
import { placesOf, type MalformedByDay } from "../../../usage/malformed.ts";
import { MEASURES, measureTextsOf, type MeasureTexts } from "../../../usage/measures.ts";
import type { CacheRow } from "./cache-row.ts";
import { malformedOf, replaceMalformed } from "./malformed.ts";
import {
  figuresOf,
  freshDay,
  keyArrays,
  lockRows,
  recordChanges,
  touchRows,
  upsertRows,
  type Change,
  type StoredRow,
} from "./rows.ts";
import { dayKey, type TenantDay } from "../../../usage/tenant-day.ts";
import { ClaimLostError, LEASE_SECONDS, type Claim } from "../runs/claim.ts";
import { settleDirty } from "../dirty.ts";
import type { Connection, Pool } from "../pool.ts";
import { inRacingTransaction, RaceError } from "../race.ts";
import type { FailedDay, FallenDay, RefusedDay, RunKind } from "../runs/run.ts";

/** The outcomes of the tenant-days of one batch. */
export interface BatchCounts {
  readonly written: number;
  readonly unchanged: number;
  readonly stale: number;
  readonly refused: number;
  readonly failed: number;
}

/** Counts of a chunk before its first batch. */
export function noCounts(): Record<keyof BatchCounts, number> {
  return { written: 0, unchanged: 0, stale: 0, refused: 0, failed: 0 };
}

/** Adds the counts of one batch to those of its chunk. */
export function addCounts(sums: Record<keyof BatchCounts, number>, batch: BatchCounts): void {
  for (const outcome of Object.keys(sums) as (keyof BatchCounts)[]) sums[outcome] += batch[outcome];
}

/** Some tenant-days of a chunk, in its order, as they were read. */
export interface Batch {
  readonly rows: readonly CacheRow[];
  /** tenant-days that could not be read; they go to `usage_dirty` */
  readonly failures: readonly FailedDay[];
  /** the malformed fields of rows that were examined for them */
  readonly malformed?: MalformedByDay;
  /** how many of the chunk's tenant-days are done with this batch */
  readonly cursor: number;
}

/** A row whose read stamp is so far ahead of the clock that it must be wrong. */
export interface FutureRow extends TenantDay {
  readonly readAt: Stamp;
}

/** Kinds of run that can be undone. The nightly rebuild and the refresh only follow the events. */
const UNDOABLE: ReadonlySet<RunKind> = new Set(["backfill", "repair", "undo"]);

/**
 * Stores one batch in one transaction: locks the chunk under this claim and the rows in key order, classifies, upserts
 * what is new or changed, moves the stamp of what is not, records the changes, and moves the cursor.
 *
 * @param onFutureRows called with rows found with a stamp in the future, which a current read may overwrite
 * @throws ClaimLostError when the claim is another's or the run was cancelled
 */
export async function writeBatch(
  pool: Pool,
  claim: Claim,
  batch: Batch,
  onFutureRows: (rows: readonly FutureRow[]) => void = () => undefined,
): Promise<BatchCounts> {
  const { counts, future } = await inRacingTransaction(pool, (connection) => writeOnce(connection, claim, batch));
  if (future.length > 0) onFutureRows(future);
  return counts;
}

async function writeOnce(
  connection: Connection,
  claim: Claim,
  batch: Batch,
): Promise<{ counts: BatchCounts; future: FutureRow[] }> {
  await lockOwnChunk(connection, claim);
  const { rows: stored, now } = await lockRows(connection, batch.rows);
  const allow: Allowance = { shrink: claim.allowShrink, rewrite: claim.kind === "repair" };
  const { written, unchanged, stale, refused } = sortOut(batch.rows, stored, now, allow);

  if (UNDOABLE.has(claim.kind)) await keepForUndo(connection, claim.runId, written);
  const revisions = await upsertRows(connection, written, allow);
  const touched = await touchRows(connection, unchanged);
  const raced = written.some((row) => {
    const revision = revisions.get(dayKey(row));
    return revision === undefined || (revision > 1 && !stored.has(dayKey(row)));
  });
  if (raced || touched !== unchanged.length)
    throw new RaceError("rows kept changing between their lock and the upsert");

  await replaceMalformed(connection, { written, unchanged }, batch.malformed ?? NONE_LOCATED, stored);

  // The clock stepped back after one of the two reads, so they cannot be ordered: the day is read again.
  const untold = new Set([
    ...batch.rows.filter(({ readAt }) => readAt > now),
    ...stale.filter((row) => (stored.get(dayKey(row)) as StoredRow).readAt > now),
  ]);
  await settleDirty(connection, batch.rows, [...batch.failures, ...untold]);
  const counts = {
    written: written.length,
    unchanged: unchanged.length,
    stale: stale.length,
    refused: refused.length,
    failed: batch.failures.length,
  };
  const kept = refused.map((row): RefusedDay => {
    const before = stored.get(dayKey(row));
    return {
      tenant: row.tenant,
      date: row.date,
      reason: row.isBeforeHorizon ? "before the horizon" : "fewer events",
      storedEvents: before ? Number(before.sourceEvents) : null,
      freshEvents: Number(row.totals.requests),
    };
  });
  const fallen = written.flatMap((row): FallenDay[] => {
    const before = stored.get(dayKey(row));
    const fell = fallenMeasures(before, row);
    if (!before || fell.length === 0) return [];
    const { tenant, date, totals } = row;
    return [{ tenant, date, fell, before: textsOf(before), after: measureTextsOf(totals) }];
  });
  await advance(connection, claim, { counts, refused: kept, fallen, ...batch });
  const changes = written.map((row): Change => {
    const { tenant, date, totals } = row;
    const revision = revisions.get(dayKey(row)) as number;
    return { tenant, date, revision, before: stored.get(dayKey(row)), after: figuresOf(totals) };
  });
  await recordChanges(connection, claim.runId, changes);
  const future = [...stored.values()].filter(({ readAt }) => isFutureStamp(readAt, now));
  return { counts, future: future.map(({ tenant, date, readAt }) => ({ tenant, date, readAt })) };
}

const NONE_LOCATED: MalformedByDay = new Map();

function textsOf(row: MeasureTexts): MeasureTexts {
  return Object.fromEntries(MEASURES.map(({ name }) => [name, row[name]])) as MeasureTexts;
}

/** Locks the chunk against a cancel and against another claim until the transaction ends. */
export async function lockOwnChunk(connection: Connection, { runId, number, id }: Claim): Promise<void> {
  const own = await connection.query(
    "SELECT 1 FROM usage_chunk WHERE run_id = $1 AND number = $2 AND claim = $3 AND state = 'running' FOR NO KEY UPDATE",
    [runId, number, id],
  );
  if (own.rows.length === 0) throw new ClaimLostError(`chunk ${number} of run ${runId} is not ours any more`);
}

type Sorted = Record<"written" | Exclude<Outcome, "new" | "changed">, CacheRow[]>;

function sortOut(
  rows: readonly CacheRow[],
  stored: ReadonlyMap<string, StoredRow>,
  now: Stamp,
  allow: Allowance,
): Sorted {
  const sorted: Sorted = { written: [], unchanged: [], stale: [], refused: [] };
  for (const row of rows) {
    const outcome = classify(stored.get(dayKey(row)), freshDay(row), now, allow);
    sorted[outcome === "new" || outcome === "changed" ? "written" : outcome].push(row);
  }
  return sorted;
}

/** Keeps rows before they are replaced, with the revision and hash that an undo must find in their place. */
async function keepForUndo(connection: Connection, runId: string, rows: readonly CacheRow[]): Promise<void> {
  if (rows.length === 0) return;
  await connection.query(
    `INSERT INTO usage_undo AS o (run_id, tenant_id, date, replaced, revision, content_hash)
     SELECT $1, u.tenant_id, u.date, to_jsonb(c), coalesce(c.revision, 0) + 1, u.content_hash
       FROM unnest($2::text[], $3::date[], $4::bytea[]) AS u (tenant_id, date, content_hash)
       LEFT JOIN daily_usage_cache c ON c.tenant_id = u.tenant_id AND c.date = u.date
     ON CONFLICT (run_id, tenant_id, date) DO UPDATE
        SET revision = EXCLUDED.revision, content_hash = EXCLUDED.content_hash`,
    [runId, ...keyArrays(rows), rows.map(({ documents }) => documents.contentHash)],
  );
}

/** Adds the counts of a batch to its chunk, and moves the cursor behind the batch. */
export async function advance(
  connection: Connection,
  claim: Claim,
  done: Batch & {
    readonly counts: BatchCounts;
    readonly refused: readonly RefusedDay[];
    readonly fallen: readonly FallenDay[];
  },
): Promise<void> {
  const { counts, rows, refused, fallen, failures, cursor } = done;
  const located = done.malformed ?? NONE_LOCATED;
  const malformed = placesOf(rows.map((row) => ({ ...row, fields: malformedOf(row, located) })));
  const total = (pick: (row: CacheRow) => number | bigint) =>
    rows.reduce((sum, row) => sum + BigInt(pick(row)), 0n).toString();
  await connection.query(
    `UPDATE usage_chunk
        SET cursor = $3, written = written + $4, unchanged = unchanged + $5, stale = stale + $6, refused = refused + $7,
            failed = failed + $8, refused_days = refused_days || $9::jsonb, failed_days = failed_days || $10::jsonb,
            source_events = source_events + $11, malformed_events = malformed_events + $12, claims = 0,
            lease_until = clock_timestamp() + make_interval(secs => $13), malformed = malformed || $14::jsonb,
            fell = fell + $15,
            fell_days = CASE WHEN jsonb_array_length(fell_days) < $16 THEN fell_days || $17::jsonb ELSE fell_days END
      WHERE run_id = $1 AND number = $2`,
    [
      claim.runId,
      claim.number,
      cursor,
      counts.written,
      counts.unchanged,
      counts.stale,
      counts.refused,
      counts.failed,
      JSON.stringify(refused),
      JSON.stringify(failures),
      total(({ totals }) => totals.requests),
      total(({ malformed }) => malformed),
      LEASE_SECONDS,
      JSON.stringify(malformed),
      fallen.length,
      LISTED_FALLS,
      JSON.stringify(fallen.slice(0, LISTED_FALLS)),
    ],
  );
}

/** A chunk lists fallen tenant-days up to about so many; it counts all. */
const LISTED_FALLS = 1_000;
