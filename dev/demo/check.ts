import type { Pool } from "../../src/db/postgres/pool.ts";
import type { Day } from "../../src/usage/day.ts";
import type { TenantTotals } from "./insert-events.ts";

interface Cached {
  readonly tenant: string;
  readonly events: string;
  readonly malformed: string;
  readonly tokens: string;
  readonly nanos: string;
}

/**
 * Compares each tenant's cache rows with the inserted events, to the last billionth of a dollar.
 *
 * @returns the differences, one a line; empty if all is right
 */
export async function compareWithCache(
  pool: Pool,
  expected: ReadonlyMap<string, TenantTotals>,
  from: Day,
  to: Day,
): Promise<string[]> {
  const { rows } = await pool.query<Cached>(
    `SELECT tenant_id AS tenant, sum(source_events)::text AS events, sum(malformed_events)::text AS malformed,
            sum(total_tokens)::text AS tokens, trim_scale(sum(total_cost) * 1000000000)::text AS nanos
       FROM daily_usage_cache WHERE date BETWEEN $1 AND $2 GROUP BY tenant_id`,
    [from, to],
  );
  const cached = new Map(rows.map((row) => [row.tenant, row]));
  return [...new Set([...expected.keys(), ...cached.keys()])].flatMap((tenant) => {
    const wanted = expected.get(tenant);
    const found = cached.get(tenant);
    return (["events", "malformed", "tokens", "nanos"] as const)
      .filter((what) => String(wanted?.[what] ?? 0) !== (found?.[what] ?? "0"))
      .map((what) => `${tenant}: ${what} inserted ${wanted?.[what] ?? 0}, in the cache ${found?.[what] ?? 0}`);
  });
}
