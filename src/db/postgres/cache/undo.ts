import type { DayState } from "../../../usage/classify.ts";
import { COMPUTED_COLUMNS, listColumns, setColumns } from "./columns.ts";
import { forgetMalformed } from "./malformed.ts";
import { keyArrays, lockRows, recordChanges, type Change, type Figures } from "./rows.ts";
import { dayKey, type TenantDay } from "../../../usage/tenant-day.ts";
import type { Claim } from "../runs/claim.ts";
import { SETTINGS_SINCE } from "../meta.ts";
import type { Connection, Pool } from "../pool.ts";
import { inRacingTransaction } from "../race.ts";
import type { RefusedDay } from "../runs/run.ts";
import { forgetComputed } from "../tenants.ts";
import { advance, lockOwnChunk, type BatchCounts } from "./write.ts";

/** The change of a run to a tenant-day. */
interface Undoable extends TenantDay {
  /** the row as the run left it; null = removed */
  readonly revision: number | null;
  readonly contentHash: Buffer | null;
  /** the row as it was before; null = there was none */
  readonly before: Figures | null;
  readonly hashBefore: Buffer | null;
  readonly stateBefore: DayState | null;
  /** the row as it was before was erased, so it cannot be restored */
  readonly isErased: boolean;
}

/** The tenant-days whose rows a run replaced, created or removed, in key order; an undo has to restore them. */
export async function undoableDays(connection: Connection, runId: string): Promise<TenantDay[]> {
  const { rows } = await connection.query<TenantDay>(
    "SELECT tenant_id AS tenant, date FROM usage_undo WHERE run_id = $1 ORDER BY tenant_id, date",
    [runId],
  );
  return rows;
}

/** Would an undo of the run restore rows that were computed with settings no longer in force? */
export async function isOfOtherSettings(connection: Connection, runId: string): Promise<boolean> {
  const { rows } = await connection.query<{ other: boolean }>(
    `SELECT r.created_at < ${SETTINGS_SINCE} OR EXISTS (
              SELECT FROM usage_undo WHERE run_id = $1 AND (replaced->>'read_at')::timestamptz < ${SETTINGS_SINCE}) AS other
       FROM usage_run r WHERE r.id = $1`,
    [runId],
  );
  return rows[0]?.other === true;
}

/**
 * Undoes what the run `claim.undoes` did to some tenant-days, in one transaction: restores rows that it replaced, with
 * their old read stamp and a higher revision, and removes rows that it created. A row that changed since then, by its
 * revision or content hash, is left alone and counted as refused; so is one whose kept row was erased.
 *
 * @throws ClaimLostError when the claim is another's or the run was cancelled
 */
export async function restoreBatch(
  pool: Pool,
  claim: Claim,
  days: readonly TenantDay[],
  cursor: number,
): Promise<BatchCounts> {
  return inRacingTransaction(pool, (connection) => restoreOnce(connection, claim, days, cursor));
}

async function restoreOnce(
  connection: Connection,
  claim: Claim,
  days: readonly TenantDay[],
  cursor: number,
): Promise<BatchCounts> {
  await lockOwnChunk(connection, claim);
  const { rows: stored } = await lockRows(connection, days);
  const undoable = await readUndoable(connection, claim, days);
  const isAsLeft = (day: TenantDay) => {
    const left = undoable.get(dayKey(day));
    const now = stored.get(dayKey(day));
    if (!left || left.isErased) return false; // trimmed or erased meanwhile, or undone before
    if (left.revision === null || left.contentHash === null) return now === undefined;
    return now?.revision === left.revision && now.contentHash.equals(left.contentHash);
  };
  const taken = days.filter(isAsLeft).map((day) => undoable.get(dayKey(day)) as Undoable);
  const refused = days
    .filter((day) => !isAsLeft(day))
    .map((day): RefusedDay => {
      const now = stored.get(dayKey(day));
      const events = now ? Number(now.sourceEvents) : null;
      const reason = undoable.get(dayKey(day))?.isErased ? "kept row erased" : "changed since";
      return { ...day, reason, storedEvents: events, freshEvents: null };
    });
  const restored = taken.filter(({ before }) => before !== null);
  const removed = taken.filter(({ before }) => before === null);

  await keepForUndo(connection, claim.runId, taken);
  const revisions = await putBack(connection, claim.undoes, restored);
  await removeRows(connection, removed);
  // A row that was read before its day ended says nothing about the whole day.
  await forgetComputed(connection, [...removed, ...restored.filter(({ stateBefore }) => stateBefore === "open")]);
  const counts = { written: taken.length, unchanged: 0, stale: 0, refused: refused.length, failed: 0 };
  await forgetMalformed(connection, taken);
  await advance(connection, claim, { counts, refused, fallen: [], rows: [], failures: [], cursor });
  const changes = taken.map((day): Change => {
    const { tenant, date, before } = day;
    const now = stored.get(dayKey(day));
    const revision = revisions.get(dayKey(day)) ?? (now?.revision ?? 0) + 1;
    return { tenant, date, revision, before: now, after: before ?? undefined };
  });
  await recordChanges(connection, claim.runId, changes);
  return counts;
}

/**
 * Leaves out days that another undo of the run has restored: after a removal revisions begin again at 1, so a row
 * created later may have the revision and hash that the run left.
 */
async function readUndoable(
  connection: Connection,
  { runId, undoes }: Claim,
  days: readonly TenantDay[],
): Promise<Map<string, Undoable>> {
  const { rows } = await connection.query<Undoable>(
    `SELECT o.tenant_id AS tenant, o.date, o.revision, o.content_hash AS "contentHash",
            CASE WHEN o.replaced IS NOT NULL THEN jsonb_build_object('requests', o.replaced->>'total_requests',
              'tokens', o.replaced->>'total_tokens', 'cost', o.replaced->>'total_cost') END AS before,
            (o.replaced->>'content_hash')::bytea AS "hashBefore", o.replaced->>'state' AS "stateBefore",
            o.erased_at IS NOT NULL AS "isErased"
       FROM usage_undo o JOIN unnest($2::text[], $3::date[]) AS u (tenant_id, date)
         ON o.tenant_id = u.tenant_id AND o.date = u.date
      WHERE o.run_id = $1
        AND NOT EXISTS (SELECT FROM usage_run r JOIN usage_undo b ON b.run_id = r.id
                         WHERE r.undoes = $1 AND r.id <> $4 AND b.tenant_id = o.tenant_id AND b.date = o.date)
        FOR SHARE OF o -- so that a row is restored before it is erased, or not at all`,
    [undoes, ...keyArrays(days), runId],
  );
  return new Map(rows.map((row) => [dayKey(row), row]));
}

/** Keeps the current rows, so that the undo can be undone. */
async function keepForUndo(connection: Connection, runId: string, days: readonly Undoable[]): Promise<void> {
  if (days.length === 0) return;
  await connection.query(
    `INSERT INTO usage_undo (run_id, tenant_id, date, replaced, revision, content_hash)
     SELECT $1, u.tenant_id, u.date, to_jsonb(c),
            CASE WHEN u.hash IS NOT NULL THEN coalesce(c.revision, (o.replaced->>'revision')::int) + 1 END, u.hash
       FROM unnest($2::text[], $3::date[], $4::bytea[]) AS u (tenant_id, date, hash)
       LEFT JOIN daily_usage_cache c ON c.tenant_id = u.tenant_id AND c.date = u.date
       LEFT JOIN usage_undo o ON o.tenant_id = u.tenant_id AND o.date = u.date
        AND o.run_id = (SELECT undoes FROM usage_run WHERE id = $1)`,
    [runId, ...keyArrays(days), days.map(({ hashBefore }) => hashBefore)],
  );
}

/** Restores rows from usage_undo, within the server. @returns their new revisions, by dayKey */
async function putBack(
  connection: Connection,
  runId: string | null,
  days: readonly TenantDay[],
): Promise<Map<string, number>> {
  if (days.length === 0) return new Map();
  const { rows } = await connection.query<TenantDay & { revision: number }>(
    `INSERT INTO daily_usage_cache AS c (tenant_id, date, ${listColumns(COMPUTED_COLUMNS)}, cached_at, revision)
     SELECT r.tenant_id, r.date, ${listColumns(COMPUTED_COLUMNS, "r.")}, clock_timestamp(),
            r.revision + 1
       FROM unnest($2::text[], $3::date[]) AS u (tenant_id, date)
       JOIN usage_undo o ON o.run_id = $1 AND o.tenant_id = u.tenant_id AND o.date = u.date
      CROSS JOIN LATERAL jsonb_populate_record(NULL::daily_usage_cache, o.replaced) AS r
      ORDER BY r.tenant_id, r.date
     ON CONFLICT (tenant_id, date) DO UPDATE
        SET ${setColumns(COMPUTED_COLUMNS)}, cached_at = EXCLUDED.cached_at, revision = c.revision + 1
     RETURNING c.tenant_id AS tenant, c.date, c.revision`,
    [runId, ...keyArrays(days)],
  );
  return new Map(rows.map((row) => [dayKey(row), row.revision]));
}

async function removeRows(connection: Connection, days: readonly TenantDay[]): Promise<void> {
  if (days.length === 0) return;
  await connection.query(
    `DELETE FROM daily_usage_cache c USING unnest($1::text[], $2::date[]) AS u (tenant_id, date)
      WHERE c.tenant_id = u.tenant_id AND c.date = u.date`,
    keyArrays(days),
  );
}
