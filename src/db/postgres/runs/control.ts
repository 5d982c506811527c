import { UsageError } from "../../../errors.ts";
import { listTenantDays, type PlannedSpan } from "../../../usage/plan.ts";
import { joinTenantDays } from "../../../usage/spans.ts";
import { dayKey } from "../../../usage/tenant-day.ts";
import { settingsAgreed } from "../meta.ts";
import { inTransaction, type Connection, type Pool } from "../pool.ts";
import { inRacingTransaction } from "../race.ts";
import type { FailedDay, RunState } from "./run.ts";
import { endRun, type EndedRun } from "./end.ts";
import { countsOfRun, endCounts, endedRun } from "./counts.ts";

/**
 * Cancels a run: from the commit on, no process writes a row of it. What was written stays.
 *
 * @returns the state the run was in; it is cancelled now only if that is `planned` or `running`
 */
export async function cancelRun(pool: Pool, id: string, by: string): Promise<RunState> {
  return inRacingTransaction(pool, async (connection) => {
    const state = await lockRun(connection, id);
    if (state === "planned" || state === "running") await cancelLocked(connection, id, by);
    return state;
  });
}

/** Cancels a run whose row is locked, or that nobody else can see ending. */
export async function cancelLocked(connection: Connection, id: string, by: string): Promise<void> {
  await connection.query(
    `UPDATE usage_chunk SET state = 'cancelled', claim = NULL, lease_until = NULL
      WHERE run_id = $1 AND state IN ('pending', 'running')`,
    [id],
  );
  const { rows } = await connection.query<EndedRun>(
    `UPDATE usage_run r SET state = 'cancelled', cancelled_by = $2, ${endCounts("k")}, error = 'cancelled by ' || $2
       FROM ${countsOfRun("$1")} k WHERE r.id = $1 RETURNING ${endedRun("r")}`,
    [id, by],
  );
  if (rows[0]) await endRun(connection, rows[0]);
}

/**
 * Makes a failed or cancelled run go on with what is missing of it: the tenant-days that failed and those it did not
 * come to. What it wrote, found unchanged, stale or refused is not done again.
 *
 * @returns how many tenant-days are to be done; undefined for a run that has to be planned first
 * @throws UsageError when there is nothing to resume
 */
export async function resumeRun(pool: Pool, id: string, settingsHash: string): Promise<number | undefined> {
  try {
    return await inTransaction(pool, (connection) => resume(connection, id, settingsHash));
  } catch (error) {
    if ((error as { code?: string }).code !== "23505") throw error;
    throw new UsageError(`Another run of the same range as ${id} is not finished yet. See it with: tallyman runs list`);
  }
}

async function resume(connection: Connection, id: string, settingsHash: string): Promise<number | undefined> {
  const state = await lockRun(connection, id);
  if (state !== "failed" && state !== "cancelled") {
    throw new UsageError(`Run ${id} is ${state}. Only a failed or cancelled run can be resumed.`);
  }
  const { rows } = await connection.query<{ agreed: boolean; started_at: string | null }>(
    `SELECT settings_hash = $2 AND ${settingsAgreed("$2")} AS agreed, started_at FROM usage_run WHERE id = $1`,
    [id, settingsHash],
  );
  if (!rows[0]?.agreed) {
    throw new UsageError(`Run ${id} was planned under other settings. Ask for a new one with: tallyman backfill`);
  }
  if (rows[0].started_at === null) {
    await reopen(connection, id, "planned");
    return undefined;
  }
  const missing = await missingOf(connection, id);
  if (missing.length === 0) throw new UsageError(`Nothing is missing of run ${id}.`);
  await connection.query(
    `UPDATE usage_chunk k
        SET payload = u.payload::jsonb, state = 'pending', cursor = 0, failed = 0, failed_days = '[]', error = NULL,
            attempts = 0, claims = 0, not_before = '-infinity'
       FROM unnest($2::int[], $3::text[]) AS u (number, payload) WHERE k.run_id = $1 AND k.number = u.number`,
    [id, missing.map(({ number }) => number), missing.map(({ spans }) => JSON.stringify(spans))],
  );
  await reopen(connection, id, "running");
  return missing.reduce((sum, { days }) => sum + days, 0);
}

/** The chunks of which tenant-days are missing, with those. */
async function missingOf(
  connection: Connection,
  id: string,
): Promise<{ number: number; spans: PlannedSpan[]; days: number }[]> {
  const { rows } = await connection.query<{
    number: number;
    spans: PlannedSpan[];
    state: string;
    cursor: number;
    failedDays: FailedDay[];
  }>(
    `SELECT number, payload AS spans, state, cursor, failed_days AS "failedDays" FROM usage_chunk
      WHERE run_id = $1 AND (state <> 'done' OR failed > 0) ORDER BY number`,
    [id],
  );
  return rows
    .map(({ number, spans, state, cursor, failedDays }) => {
      const failed = new Set(failedDays.map(dayKey));
      const days = listTenantDays(spans).filter((day, index) => {
        return failed.has(dayKey(day)) || (state !== "done" && index >= cursor);
      });
      return { number, spans: joinTenantDays(days), days: days.length };
    })
    .filter(({ days }) => days > 0);
}

async function reopen(connection: Connection, id: string, state: "planned" | "running"): Promise<void> {
  await connection.query(
    `UPDATE usage_run SET state = $2, finished_at = NULL, cancelled_by = NULL, error = NULL, plan_attempts = 0
      WHERE id = $1`,
    [id, state],
  );
}

/** Not FOR UPDATE: a write that keeps a row for an undo holds a key share of its run. */
async function lockRun(connection: Connection, id: string): Promise<RunState> {
  const { rows } = await connection.query<{ state: RunState }>(
    "SELECT state FROM usage_run WHERE id = $1 FOR NO KEY UPDATE",
    [id],
  );
  if (!rows[0]) throw new UsageError(`There is no run ${id}. List them with: tallyman runs list`);
  return rows[0].state;
}
