import type { Day } from "../../usage/day.ts";
import type { Connection } from "./pool.ts";
import { stampSql } from "./stamp.ts";

/** Where a tenant's events begin and end, and how far its rows are known to be whole. */
export interface KnownTenant {
  readonly tenant: string;
  readonly first: Day;
  readonly last: Day;
}

/** The tenants among `tenants`, or all that are known. */
export async function knownTenants(connection: Connection, tenants?: readonly string[]): Promise<KnownTenant[]> {
  const { rows } = await connection.query<KnownTenant>(
    `SELECT tenant_id AS tenant, first_day AS first, last_day AS last FROM usage_tenant
      WHERE $1::text[] IS NULL OR tenant_id = ANY ($1::text[]) ORDER BY tenant_id`,
    [tenants ?? null],
  );
  return rows;
}

/** The first and last row of each tenant that has one: what events once made known is kept true after they are gone. */
export async function cachedSpans(connection: Connection, tenants: readonly string[]): Promise<KnownTenant[]> {
  const { rows } = await connection.query<KnownTenant>(
    `SELECT u.tenant, a.date AS first, z.date AS last
       FROM unnest($1::text[]) AS u (tenant)
       JOIN LATERAL (SELECT date FROM daily_usage_cache WHERE tenant_id = u.tenant ORDER BY date LIMIT 1) a ON true
       JOIN LATERAL (SELECT date FROM daily_usage_cache WHERE tenant_id = u.tenant ORDER BY date DESC LIMIT 1) z ON true`,
    [tenants],
  );
  return rows;
}

/** One line of `status`: how fresh a tenant's rows are. */
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

/** Remembers where tenants' events begin and end; a span never shrinks here. */
export async function widenTenantSpans(
  connection: Connection,
  spans: readonly { tenant: string; first: Day; last: Day }[],
): Promise<void> {
  await connection.query(
    `INSERT INTO usage_tenant AS t (tenant_id, first_day, last_day)
     SELECT * FROM unnest($1::text[], $2::date[], $3::date[]) AS u (tenant_id, first_day, last_day) ORDER BY 1
     ON CONFLICT (tenant_id) DO UPDATE
        SET first_day = least(t.first_day, EXCLUDED.first_day), last_day = greatest(t.last_day, EXCLUDED.last_day)
      WHERE (t.first_day, t.last_day) IS DISTINCT FROM
            (least(t.first_day, EXCLUDED.first_day), greatest(t.last_day, EXCLUDED.last_day))`,
    [spans.map(({ tenant }) => tenant), spans.map(({ first }) => first), spans.map(({ last }) => last)],
  );
}
