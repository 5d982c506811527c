/** The indexes of the cache that other services read, with the document's queries in corrected form. */
import type { Contract, PostgresIndex } from "../src/indexes/index.ts";

const TENANT = { sample: "tenant_id" } as const;
const DATE = { sample: "date" } as const;
/** The document measures 90 days. */
const FROM = { sample: "date", shift: "-45d" } as const;
const TO = { sample: "date", shift: "+44d" } as const;

/** One element a key and its sums; the document's own form has two set-returning functions and does not run. */
function breakdown(dimension: "user" | "model" | "provider", where: string): string {
  return (
    `SELECT e.key AS ${dimension}, sum((e.value->>'totalRequests')::bigint) AS requests, ` +
    `sum((e.value->>'totalTokens')::bigint) AS tokens, sum((e.value->>'totalCost')::numeric) AS cost ` +
    `FROM daily_usage_cache AS d CROSS JOIN LATERAL jsonb_each(d.aggregated_by_${dimension}) AS e(key, value) ` +
    `WHERE ${where} GROUP BY e.key ORDER BY cost DESC`
  );
}

const OF_TENANT = "d.tenant_id = $1 AND d.date BETWEEN $2 AND $3";
const OF_ALL = "d.date BETWEEN $1 AND $2";
const DATE_INDEXES = ["idx_daily_usage_cache_date", "idx_daily_usage_cache_date_cached_at"];

/** The indexes of `daily_usage_cache`. */
export function cacheIndexes(): readonly PostgresIndex[] {
  return [
    {
      name: "daily_usage_cache_pkey",
      constraint: "primary",
      required: true,
      why: "ON CONFLICT (tenant_id, date); one tenant's range of days",
      columns: [{ col: "tenant_id", collate: "C" }, "date"],
      contracts: [
        {
          name: "a tenant's range",
          noSort: true,
          maxMs: 50,
          promised: { withoutMs: 245, factor: 5.8 },
          sql: "SELECT * FROM daily_usage_cache WHERE tenant_id = $1 AND date BETWEEN $2 AND $3 ORDER BY date",
          params: [TENANT, FROM, TO],
        },
        {
          name: "a tenant's day",
          orUses: ["idx_daily_usage_cache_date"],
          maxMs: 8,
          promised: { withoutMs: 125, factor: 15 },
          sql: "SELECT * FROM daily_usage_cache WHERE tenant_id = $1 AND date = $2",
          params: [TENANT, DATE],
        },
        {
          name: "a tenant's users of a range",
          maxMs: 500,
          promised: { withoutMs: 1850, factor: 4.8 },
          sql: breakdown("user", OF_TENANT),
          params: [TENANT, FROM, TO],
        },
        {
          name: "a tenant's models of a range",
          maxMs: 1000,
          sql: breakdown("model", OF_TENANT),
          params: [TENANT, FROM, TO],
        },
        {
          name: "a tenant's last 7 days",
          noSort: true,
          sql:
            "SELECT * FROM daily_usage_cache WHERE tenant_id = $1 AND date >= CURRENT_DATE - INTERVAL '7 days' " +
            "ORDER BY date DESC",
          params: [TENANT],
        },
      ],
    },
    {
      name: "idx_daily_usage_cache_date",
      why: "every tenant's row of a day; the primary key begins with the tenant, so it cannot serve that",
      note: "with tenant_id behind the document's date: a row here is a tenant's day, and days are listed by tenant",
      columns: ["date", { col: "tenant_id", collate: "C" }],
      contracts: [
        {
          name: "tenants of a day",
          orUses: DATE_INDEXES,
          sql: "SELECT * FROM daily_usage_cache WHERE date = $1 ORDER BY tenant_id",
          params: [DATE],
        },
        {
          name: "all tenants' range",
          mode: "could", // a quarter of a year's rows: reading all of them can be the better plan
          orUses: DATE_INDEXES,
          maxMs: 500,
          sql:
            "SELECT date, tenant_id, total_requests, total_tokens, total_cost FROM daily_usage_cache " +
            "WHERE date BETWEEN $1 AND $2 ORDER BY date",
          params: [FROM, TO],
        },
        {
          name: "all tenants' last 7 days",
          orUses: DATE_INDEXES,
          sql:
            "SELECT date, tenant_id, total_requests, total_cost FROM daily_usage_cache " +
            "WHERE date >= CURRENT_DATE - INTERVAL '7 days' ORDER BY date DESC",
          params: [],
        },
        {
          name: "all tenants' models of a range",
          mode: "could",
          orUses: DATE_INDEXES,
          maxMs: 1000,
          sql: breakdown("model", OF_ALL),
          params: [FROM, TO],
        },
      ],
    },
    {
      name: "idx_daily_usage_cache_date_cached_at",
      phase: 2,
      why: "which days were written when, from the index alone",
      columns: ["date", "cached_at"],
      contracts: [
        {
          name: "days written",
          mode: "could",
          covered: true,
          sql: "SELECT date, cached_at FROM daily_usage_cache WHERE date BETWEEN $1 AND $2",
          params: [FROM, TO],
        },
        {
          name: "is a day cached",
          covered: true,
          promised: { withoutMs: 85 },
          sql: "SELECT date, cached_at FROM daily_usage_cache WHERE date = $1",
          params: [DATE],
        },
      ],
    },
    keysIndex("user"),
    keysIndex("model"),
    keysIndex("provider"),
  ];
}

/**
 * GIN over the keys of a document, by the immutable function `usage_keys(jsonb) returns text[]`. Over the whole
 * document it is three times the size, and each hit is rechecked on the detoasted document: 55 ms against 1.1 ms for
 * 1,825 days of 1,000 users.
 */
function keysIndex(dimension: "user" | "model" | "provider"): PostgresIndex {
  const column = `aggregated_by_${dimension}`;
  const keys = `usage_keys(${column})`;
  const contracts: Contract[] = [
    {
      name: `has ${dimension}`,
      // The first key of a drawn row; a reader, who knows the key, writes ARRAY[usage_key('it')] on the right.
      sql: `SELECT tenant_id, date FROM daily_usage_cache WHERE ${keys} @> (usage_keys($1))[1:1]`,
      params: [{ sample: column }],
      // For a model that is in most rows, a full scan is faster.
      ...(dimension === "user" ? {} : { mode: "could" as const }),
    },
    {
      name: `has ${dimension}, by the document`,
      mode: "cannot",
      because: `the index holds the keys, not the documents: write ${keys} @> ARRAY[usage_key('…')]`,
      sql: `SELECT tenant_id, date FROM daily_usage_cache WHERE ${column} @> '{"user123": {}}'`,
    },
    {
      name: `${dimension}s of a range`,
      mode: "cannot",
      because:
        "GIN finds rows by a key; a range of days goes through an index on date, and its keys come from the rows",
      sql: `SELECT jsonb_object_keys(${column}) FROM daily_usage_cache WHERE date BETWEEN $1 AND $2`,
      params: [FROM, TO],
    },
  ];
  return {
    name: `idx_daily_usage_cache_${dimension}_jsonb`,
    phase: 3,
    method: "gin",
    why: `days on which a ${dimension} was active`,
    note: "over the keys of the document, not over all of it: a third of the size, and no row is looked at again",
    columns: [{ expr: keys }],
    // GIN's list of pending entries holds up to 4 MB and grows to 37 % of a small table; without it the three indexes
    // together are 3 to 5 % of it (90 days of 5 tenants, 60 days of 1,000 users, written by the worker).
    with: { fastupdate: "off" },
    limits: { sizePct: 10 },
    contracts,
  };
}
