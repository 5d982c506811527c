import { dayKey, type CacheRow } from "./cache.ts";
import type { Connection } from "./pool.ts";
import type { FailedDay } from "./runs.ts";

/** How long a tenant-day that failed is left alone. */
const RETRY_MINUTES = 15;

/**
 * Takes tenant-days off the list of what has to be rebuilt where their read began after they were found, and puts the
 * failed ones on it, each once.
 */
export async function settleDirty(
  connection: Connection,
  read: readonly Pick<CacheRow, "tenant" | "date" | "readAt">[],
  failed: readonly FailedDay[],
): Promise<void> {
  if (read.length > 0) {
    await connection.query(
      `DELETE FROM usage_dirty d USING unnest($1::text[], $2::date[], $3::timestamptz[]) AS u (tenant_id, date, read_at)
        WHERE d.tenant_id = u.tenant_id AND d.date = u.date AND d.found_at < u.read_at`,
      [read.map(({ tenant }) => tenant), read.map(({ date }) => date), read.map(({ readAt }) => readAt)],
    );
  }
  const each = [...new Map(failed.map((day) => [dayKey(day), day])).values()];
  if (each.length > 0) {
    await connection.query(
      `INSERT INTO usage_dirty AS d (tenant_id, date, found_at, not_before)
       SELECT u.*, clock_timestamp(), clock_timestamp() + make_interval(mins => $3)
         FROM unnest($1::text[], $2::date[]) AS u ORDER BY 1, 2
       ON CONFLICT (tenant_id, date) DO UPDATE SET not_before = EXCLUDED.not_before`,
      [each.map(({ tenant }) => tenant), each.map(({ date }) => date), RETRY_MINUTES],
    );
  }
}
