import type { Day } from "../../usage/day.ts";
import type { TenantDay, TenantSpan } from "../../usage/tenant-day.ts";
import type { Connection } from "./pool.ts";
import { stampSql } from "./stamp.ts";

/** From the first to the last day with events: of the tenants among `tenants`, or of all that are known. */
export async function knownTenants(connection: Connection, tenants?: readonly string[]): Promise<TenantSpan[]> {
  const { rows } = await connection.query<TenantSpan>(
    `SELECT tenant_id AS tenant, first_day AS "from", last_day AS "to" FROM usage_tenant
      WHERE $1::text[] IS NULL OR tenant_id = ANY ($1::text[]) ORDER BY tenant_id`,
    [tenants ?? null],
  );
  return rows;
}

/** The first and last day with a row of each tenant that has rows: days stay known after their events are deleted. */
export async function cachedSpans(connection: Connection, tenants: readonly string[]): Promise<TenantSpan[]> {
  const { rows } = await connection.query<TenantSpan>(
    `SELECT u.tenant, a.date AS "from", z.date AS "to"
       FROM unnest($1::text[]) AS u (tenant)
       JOIN LATERAL (SELECT date FROM daily_usage_cache WHERE tenant_id = u.tenant ORDER BY date LIMIT 1) a ON true
       JOIN LATERAL (SELECT date FROM daily_usage_cache WHERE tenant_id = u.tenant ORDER BY date DESC LIMIT 1) z ON true`,
    [tenants],
  );
  return rows;
}

/** How fresh a tenant's rows are, for `status`. */
export interface TenantFreshness {
  readonly tenant: string;
  readonly firstDay: Day;
  readonly lastDay: Day;
  readonly lastRow: Day | null;
  readonly state: string | null;
  readonly readAt: string | null;
  readonly cachedAt: string | null;
}

/** The newest row of each known tenant, the longest unread first. */
export async function tenantFreshness(connection: Connection, limit: number): Promise<TenantFreshness[]> {
  const { rows } = await connection.query<TenantFreshness>(
    `SELECT t.tenant_id AS tenant, t.first_day AS "firstDay", t.last_day AS "lastDay", c.date AS "lastRow", c.state,
            ${stampSql("c.read_at")} AS "readAt", ${stampSql("c.cached_at")} AS "cachedAt"
       FROM usage_tenant t
       LEFT JOIN LATERAL (SELECT date, state, read_at, cached_at FROM daily_usage_cache
                           WHERE tenant_id = t.tenant_id ORDER BY date DESC LIMIT 1) c ON true
      ORDER BY c.read_at NULLS FIRST, t.tenant_id LIMIT $1`,
    [limit],
  );
  return rows;
}

/** The days between which events of a tenant were found. */
export interface FoundSpan extends TenantSpan {
  /** the last ended day up to which a search after `to` found no event */
  readonly searchedThrough?: Day | undefined;
}

/** So many days between an old last day and a new one are marked as dirty for a tenant. */
const MAX_GAP_DAYS = 3_660;

/**
 * Remembers where tenants' events begin and end; a span never shrinks here. A computed range that went on after the
 * old last day, because nothing was there, ends at it when the last day moves, and the days between the two that have
 * no row become dirty, so that a rebuild makes them zero rows.
 */
export async function widenTenantSpans(connection: Connection, spans: readonly FoundSpan[]): Promise<void> {
  await connection.query(
    `WITH given AS (
       SELECT u.tenant_id, min(u.first_day) AS first_day, max(u.last_day) AS last_day, max(u.searched) AS searched
         FROM unnest($1::text[], $2::date[], $3::date[], $4::date[]) AS u (tenant_id, first_day, last_day, searched)
        GROUP BY 1
     ), before AS (
       SELECT t.tenant_id, t.last_day, t.computed_from FROM usage_tenant t JOIN given g ON g.tenant_id = t.tenant_id
     ), widened AS (
       INSERT INTO usage_tenant AS t (tenant_id, first_day, last_day, searched_through)
       SELECT * FROM given ORDER BY tenant_id COLLATE "C"
       ON CONFLICT (tenant_id) DO UPDATE
          SET first_day = least(t.first_day, EXCLUDED.first_day), last_day = greatest(t.last_day, EXCLUDED.last_day),
              searched_through = greatest(t.searched_through, EXCLUDED.searched_through),
              computed_from = CASE WHEN EXCLUDED.last_day <= t.last_day OR t.computed_from <= t.last_day
                                   THEN t.computed_from END,
              computed_through = CASE WHEN EXCLUDED.last_day <= t.last_day THEN t.computed_through
                                      WHEN t.computed_from <= t.last_day THEN least(t.computed_through, t.last_day) END
        WHERE (t.first_day, t.last_day, t.searched_through) IS DISTINCT FROM
              (least(t.first_day, EXCLUDED.first_day), greatest(t.last_day, EXCLUDED.last_day),
               greatest(t.searched_through, EXCLUDED.searched_through))
       RETURNING t.tenant_id, t.last_day, t.computed_from
     )
     INSERT INTO usage_dirty (tenant_id, date, found_at)
     SELECT w.tenant_id, b.last_day + n, clock_timestamp()
       FROM widened w JOIN before b ON b.tenant_id = w.tenant_id
      CROSS JOIN LATERAL generate_series(greatest(1, w.last_day - b.last_day - $5), w.last_day - b.last_day - 1) AS n
      WHERE (w.computed_from IS NOT NULL OR b.computed_from IS NOT NULL)
        AND NOT EXISTS (SELECT FROM daily_usage_cache c WHERE c.tenant_id = w.tenant_id AND c.date = b.last_day + n)
      ORDER BY 1, 2
     ON CONFLICT (tenant_id, date) DO NOTHING`,
    [
      spans.map(({ tenant }) => tenant),
      spans.map(({ from }) => from),
      spans.map(({ to }) => to),
      spans.map(({ searchedThrough }) => searchedThrough ?? null),
      MAX_GAP_DAYS,
    ],
  );
}

/**
 * Takes days whose rows were removed, or put back as read before their day's end, out of the computed ranges, in the
 * transaction that removed them: what lies after the last of them is kept, else what lies before the first, else nothing.
 */
export async function forgetComputed(connection: Connection, removed: readonly TenantDay[]): Promise<void> {
  await connection.query(
    `WITH removed AS (
       SELECT tenant_id, array_agg(date) AS dates FROM unnest($1::text[], $2::date[]) AS u (tenant_id, date) GROUP BY 1
     ), locked AS (
       SELECT t.tenant_id, t.computed_from, t.computed_through, r.dates
         FROM usage_tenant t JOIN removed r ON r.tenant_id = t.tenant_id ORDER BY t.tenant_id FOR NO KEY UPDATE OF t
     )
     UPDATE usage_tenant t SET computed_from = n.lo, computed_through = n.hi
       FROM (SELECT l.tenant_id,
                    CASE WHEN d.last < l.computed_through THEN d.last + 1
                         WHEN d.first > l.computed_from THEN l.computed_from END AS lo,
                    CASE WHEN d.last < l.computed_through THEN l.computed_through
                         WHEN d.first > l.computed_from THEN d.first - 1 END AS hi
               FROM locked l
              CROSS JOIN LATERAL (SELECT min(date) AS first, max(date) AS last FROM unnest(l.dates) AS date
                                   WHERE date BETWEEN l.computed_from AND l.computed_through) d
              WHERE d.first IS NOT NULL) n
      WHERE t.tenant_id = n.tenant_id`,
    [removed.map(({ tenant }) => tenant), removed.map(({ date }) => date)],
  );
}
