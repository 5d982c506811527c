import type { CacheRow } from "./cache/cache-row.ts";
import { keyArrays } from "./cache/rows.ts";
import { dayKey, type TenantDay } from "../../usage/tenant-day.ts";
import type { Connection, Pool } from "./pool.ts";
import { againOnRace } from "./race.ts";

/** So long a failed tenant-day is not read again: longer than a stamp may be ahead of the clock. */
const RETRY_MINUTES = 15;

/**
 * Removes tenant-days from usage_dirty whose read began after they were marked, and marks those as dirty that must be
 * read again, such as failed ones.
 */
export async function settleDirty(
  connection: Connection,
  read: readonly Pick<CacheRow, "tenant" | "date" | "readAt">[],
  again: readonly TenantDay[],
): Promise<void> {
  if (read.length > 0) {
    // In key order, as all transactions lock these rows.
    await connection.query(
      `WITH settled AS (
         SELECT d.tenant_id, d.date FROM usage_dirty d
           JOIN unnest($1::text[], $2::date[], $3::timestamptz[]) AS u (tenant_id, date, read_at)
             ON d.tenant_id = u.tenant_id AND d.date = u.date
          WHERE d.found_at < u.read_at
          ORDER BY d.tenant_id, d.date FOR UPDATE OF d)
       DELETE FROM usage_dirty d USING settled s WHERE d.tenant_id = s.tenant_id AND d.date = s.date`,
      [...keyArrays(read), read.map(({ readAt }) => readAt)],
    );
  }
  const each = [...new Map(again.map((day) => [dayKey(day), day])).values()];
  if (each.length > 0) {
    await connection.query(
      `INSERT INTO usage_dirty AS d (tenant_id, date, found_at, not_before)
       SELECT u.*, clock_timestamp(), clock_timestamp() + make_interval(mins => $3)
         FROM unnest($1::text[], $2::date[]) AS u (tenant_id, date) ORDER BY u.tenant_id COLLATE "C", u.date
       ON CONFLICT (tenant_id, date) DO UPDATE SET not_before = EXCLUDED.not_before`,
      [...keyArrays(each), RETRY_MINUTES],
    );
  }
}

/** Number of events of a tenant-day in the source; undefined = it could not be counted. */
export interface CountedDay extends TenantDay {
  readonly events: bigint | undefined;
}

/** Tenant-days that wait for a rebuild. One method a statement. */
export class DirtyDays {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  /**
   * Marks tenant-days as dirty whose number of events differs from that of their row (0 without a row). A day that is dirty
   * already keeps its delay after a failure, but must be read after this moment.
   *
   * @returns how many of them differ
   */
  async markDiffering(counted: readonly CountedDay[]): Promise<number> {
    // A batch that settles some days and fails others locks them in two steps, each in key order.
    return againOnRace(() => this.#markOnce(counted));
  }

  async #markOnce(counted: readonly CountedDay[]): Promise<number> {
    const { rowCount } = await this.#pool.query(
      `INSERT INTO usage_dirty AS d (tenant_id, date, found_at)
       SELECT u.tenant_id, u.date, clock_timestamp()
         FROM unnest($1::text[], $2::date[], $3::bigint[]) AS u (tenant_id, date, events)
         LEFT JOIN daily_usage_cache c ON c.tenant_id = u.tenant_id AND c.date = u.date
        WHERE u.events IS DISTINCT FROM coalesce(c.source_events, 0)
        ORDER BY u.tenant_id COLLATE "C", u.date
       ON CONFLICT (tenant_id, date) DO UPDATE SET found_at = greatest(d.found_at, EXCLUDED.found_at)`,
      [...keyArrays(counted), counted.map(({ events }) => events?.toString() ?? null)],
    );
    return rowCount ?? 0;
  }

  /** The days that are due, the oldest marks first, ordered by tenant and day. */
  async due(limit: number): Promise<TenantDay[]> {
    const { rows } = await this.#pool.query<TenantDay>(
      `SELECT tenant_id AS tenant, date
         FROM (SELECT tenant_id, date FROM usage_dirty WHERE not_before <= clock_timestamp() ORDER BY found_at LIMIT $1) d
        ORDER BY tenant_id, date`,
      [limit],
    );
    return rows;
  }
}
