import type { Pool } from "../../src/db/postgres/pool.ts";
import { table } from "../../src/cli/table.ts";
import { addDays, type Day } from "../../src/usage/day.ts";
import { heading, indented, money, say } from "./print.ts";

/** Every value is text: PostgreSQL's numbers are wider than JavaScript's. */
type Row = Readonly<Record<string, string>>;

interface Question {
  readonly title: string;
  /** its column names become the table's head */
  readonly sql: string;
  readonly from: Day;
}

/** Runs and prints the queries that other services ask of the cache. Nothing here reads an event. */
export async function printReport(pool: Pool, from: Day, to: Day): Promise<void> {
  const questions: Question[] = [
    { title: "The last 10 days, all tenants", sql: DAILY_TOTALS, from: addDays(to, -9) },
    { title: "Top models by cost", sql: TOP_MODELS, from },
    { title: "Top users by cost", sql: TOP_USERS, from },
    { title: "What the producers got wrong", sql: MALFORMED, from },
  ];
  for (const { title, sql, from: first } of questions) {
    const { rows, fields } = await pool.query<Row>(sql, [first, to]);
    const columns = fields.map(({ name }) => column(name, rows));
    heading(`${title}, ${first} to ${to}`);
    say(
      indented(
        table(
          columns.map(({ head }) => head),
          rows.map((_, i) => columns.map(({ cells }) => cells[i] ?? "")),
        ).join("\n"),
      ),
    );
  }
}

const TEXTS = new Set(["day", "tenant", "user", "model", "state"]);

/** Formats a column: texts to the left, numbers to the right with aligned decimal points. */
function column(head: string, rows: readonly Row[]): { head: string; cells: string[] } {
  const cells = rows.map((row) => {
    const text = row[head] ?? "";
    if (head === "cost") return money(text);
    return TEXTS.has(head) || text.includes(".") ? text : BigInt(text).toLocaleString("en");
  });
  if (TEXTS.has(head)) return { head, cells };
  const width = Math.max(head.length, ...cells.map(({ length }) => length));
  return { head: head.padStart(width), cells: cells.map((cell) => cell.padStart(width)) };
}

const DAILY_TOTALS = `
  SELECT date::text AS day, count(*) FILTER (WHERE total_requests > 0) AS "active tenants",
         sum(total_requests) AS requests, sum(total_tokens) AS tokens, sum(total_cost)::text AS cost,
         string_agg(DISTINCT state, ', ') AS state
    FROM daily_usage_cache WHERE date BETWEEN $1 AND $2 GROUP BY date ORDER BY date`;

const TOP_MODELS = `
  SELECT m.key AS model, sum((m.value->>'totalRequests')::bigint) AS requests,
         sum((m.value->>'totalTokens')::bigint) AS tokens, sum((m.value->>'totalCost')::numeric) AS cost,
         round(100 * sum((m.value->>'totalCost')::numeric) / sum(sum((m.value->>'totalCost')::numeric)) OVER (), 1) AS "% of cost"
    FROM daily_usage_cache c CROSS JOIN LATERAL jsonb_each(c.aggregated_by_model) m
   WHERE c.date BETWEEN $1 AND $2
   GROUP BY m.key ORDER BY cost DESC, m.key LIMIT 10`;

const TOP_USERS = `
  SELECT c.tenant_id AS tenant, u.key AS "user", count(*) AS days, sum((u.value->>'totalRequests')::bigint) AS requests,
         sum((u.value->>'totalTokens')::bigint) AS tokens, sum((u.value->>'totalCost')::numeric) AS cost
    FROM daily_usage_cache c CROSS JOIN LATERAL jsonb_each(c.aggregated_by_user) u
   WHERE c.date BETWEEN $1 AND $2
   GROUP BY c.tenant_id, u.key ORDER BY cost DESC, c.tenant_id, u.key LIMIT 8`;

const MALFORMED = `
  SELECT tenant_id AS tenant, count(*) AS days, sum(source_events) AS events,
         coalesce(sum((aggregated_by_user->'__unknown__'->>'totalRequests')::bigint), 0) AS "without a user",
         sum(malformed_events) AS malformed,
         round(100.0 * sum(malformed_events) / greatest(sum(source_events), 1), 2) AS "% malformed"
    FROM daily_usage_cache WHERE date BETWEEN $1 AND $2 GROUP BY tenant_id ORDER BY sum(source_events) DESC`;
