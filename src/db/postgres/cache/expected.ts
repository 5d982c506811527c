import type { TenantSpan } from "../../../usage/tenant-day.ts";
import type { Day } from "../../../usage/day.ts";
import type { Connection } from "../pool.ts";

/** Rows of which a tenant's average is made: two weeks hold every weekday twice. */
const LATEST_ROWS = 14;

/** Source events of the tenant-days that have a row, except rows read before their day ended, which hold a part of it. */
export async function countedEvents(
  connection: Connection,
  spans: readonly TenantSpan[],
): Promise<{ tenant: string; date: Day; events: number }[]> {
  const { rows } = await connection.query<{ tenant: string; date: Day; events: number }>(
    `SELECT u.tenant, c.date, c.source_events::float8 AS events
       FROM unnest($1::text[], $2::date[], $3::date[]) AS u (tenant, from_date, to_date)
       CROSS JOIN LATERAL (SELECT date, source_events, state FROM daily_usage_cache
                            WHERE tenant_id = u.tenant AND date BETWEEN u.from_date AND u.to_date OFFSET 0) c
      WHERE c.state <> 'open'`,
    [spans.map(({ tenant }) => tenant), spans.map(({ from }) => from), spans.map(({ to }) => to)],
  );
  return rows;
}

/** Source events of an average day, by each tenant's latest rows. */
export async function averageEvents(
  connection: Connection,
  tenants: readonly string[],
): Promise<{ tenant: string; events: number }[]> {
  const { rows } = await connection.query<{ tenant: string; events: number }>(
    `SELECT u.tenant, avg(c.source_events)::float8 AS events
       FROM unnest($1::text[]) AS u (tenant)
       CROSS JOIN LATERAL (SELECT source_events FROM daily_usage_cache WHERE tenant_id = u.tenant AND state <> 'open'
                            ORDER BY date DESC LIMIT ${LATEST_ROWS}) c
      GROUP BY u.tenant`,
    [tenants],
  );
  return rows;
}

/** Days from the first to the last event, over all known tenants. */
export async function knownTenantDays(connection: Connection): Promise<number> {
  const { rows } = await connection.query<{ days: number }>(
    "SELECT coalesce(sum(last_day - first_day + 1), 0)::float8 AS days FROM usage_tenant",
  );
  return rows[0]?.days ?? 0;
}
