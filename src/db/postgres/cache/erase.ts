import type { Day } from "../../../usage/day.ts";
import { DIMENSION_NAMES } from "../../../usage/dimensions.ts";
import type { TenantDay } from "../../../usage/tenant-day.ts";
import type { Connection, Pool } from "../pool.ts";
import { inRacingTransaction } from "../race.ts";

/** A user of one tenant, by the text of their ids. */
export interface TenantUser {
  readonly tenant: string;
  readonly user: string;
}

/** A row that a run replaced and keeps for an undo. */
export interface KeptRow extends TenantDay {
  readonly runId: string;
}

/** Rows erased in one transaction. */
const BATCH_ROWS = 500;

const USER_CELL = DIMENSION_NAMES.indexOf("user");

/** Condition on a row's two documents with users: does either hold the user $2? */
const holdsUser = (byUser: string, raw: string): string =>
  `(${byUser} ? $2 OR jsonb_path_exists(${raw}, '$.rows[*][${USER_CELL}] ? (@ == $user)', jsonb_build_object('user', $2::text)))`;

/** The kept rows that hold the user, by run, oldest day first. */
export async function keptRows(connection: Connection, { tenant, user }: TenantUser): Promise<KeptRow[]> {
  const { rows } = await connection.query<KeptRow>(
    `SELECT run_id AS "runId", tenant_id AS tenant, date FROM usage_undo
      WHERE tenant_id = $1 AND ${holdsUser("replaced->'aggregated_by_user'", "replaced->'raw_data'")}
      ORDER BY run_id, date`,
    [tenant, user],
  );
  return rows;
}

/** The days of the rows in the cache that hold the user, in order. */
export async function daysWithUser(connection: Connection, { tenant, user }: TenantUser): Promise<Day[]> {
  const { rows } = await connection.query<{ date: Day }>(
    `SELECT date FROM daily_usage_cache WHERE tenant_id = $1 AND ${holdsUser("aggregated_by_user", "raw_data")} ORDER BY date`,
    [tenant, user],
  );
  return rows.map(({ date }) => date);
}

/** Runs that are not finished and may keep rows of the tenant, or restore some. */
export async function unfinishedRuns(connection: Connection, tenant: string): Promise<string[]> {
  const { rows } = await connection.query<{ id: string }>(
    `SELECT id FROM usage_run
      WHERE state IN ('planned', 'running') AND kind IN ('backfill', 'repair', 'undo')
        AND (tenants IS NULL OR $1 = ANY (tenants)) ORDER BY created_at`,
    [tenant],
  );
  return rows.map(({ id }) => id);
}

/**
 * Erases kept rows. What is left of each says that it was erased: an undo skips it and reports it. No row has the revision
 * 0, so a process of an earlier version skips it too.
 */
export async function eraseKept(pool: Pool, rows: readonly KeptRow[]): Promise<void> {
  for (let done = 0; done < rows.length; done += BATCH_ROWS) {
    const batch = rows.slice(done, done + BATCH_ROWS);
    await inRacingTransaction(pool, (connection) =>
      connection.query(
        `UPDATE usage_undo o SET replaced = NULL, revision = 0, content_hash = '', erased_at = clock_timestamp()
           FROM unnest($1::uuid[], $2::text[], $3::date[]) AS k (run_id, tenant_id, date)
          WHERE o.run_id = k.run_id AND o.tenant_id = k.tenant_id AND o.date = k.date`,
        [batch.map(({ runId }) => runId), batch.map(({ tenant }) => tenant), batch.map(({ date }) => date)],
      ),
    );
  }
}
