import { SETTINGS_SINCE } from "./meta.ts";
import type { Connection } from "./pool.ts";

/** Condition on a row: read after its day ended, with the settings in force. */
const isWhole = (row: string): string => `${row}.state <> 'open' AND ${row}.read_at >= ${SETTINGS_SINCE}`;

/**
 * SQL for the furthest day to which every day from `start` is computed, as a column `reached` (null = not even the next
 * day). Reads the tenant's rows on that side.
 */
function walk(tenant: string, start: string, sign: "+" | "-", condition: string): string {
  const [far, order] = sign === "+" ? ["max", "ASC"] : ["min", "DESC"];
  return `SELECT ${far}(date) AS reached
            FROM (SELECT date, row_number() OVER (ORDER BY date ${order})::int AS n FROM daily_usage_cache c
                   WHERE tenant_id = ${tenant} AND date ${sign === "+" ? ">" : "<"} ${start} AND ${isWhole("c")}
                     AND ${condition}) days
           WHERE date = ${start} ${sign} n`;
}

/**
 * Moves the computed range of each tenant that the run touched to the latest stretch of computed days that holds the
 * range or a day that the run read: where both touch it is their union, where they are apart the later one. A stretch
 * that reaches the last day with events goes on as far as nothing later was found.
 */
export async function growComputed(connection: Connection, runId: string): Promise<void> {
  // Takes all locks first, in one order, so that the statements below see what an earlier undo has removed.
  await connection.query(
    `SELECT count(*) FROM (
       SELECT FROM usage_tenant WHERE tenant_id IN
         (SELECT s.tenant FROM usage_chunk k CROSS JOIN LATERAL jsonb_to_recordset(k.payload) AS s (tenant text)
           WHERE k.run_id = $1)
           OR (computed_through >= last_day AND searched_through > computed_through
               AND EXISTS (SELECT FROM usage_run WHERE id = $1 AND tenants IS NULL))
        ORDER BY tenant_id FOR NO KEY UPDATE) locked`,
    [runId],
  );
  await connection.query(
    `WITH touched AS MATERIALIZED (
       SELECT s.tenant AS tenant_id, max(c.date) AS latest
         FROM usage_chunk k
        CROSS JOIN LATERAL jsonb_to_recordset(k.payload) AS s (tenant text, "from" date, "to" date)
        CROSS JOIN LATERAL (SELECT date FROM daily_usage_cache d
                             WHERE tenant_id = s.tenant AND date BETWEEN s."from" AND s."to" AND ${isWhole("d")}
                             ORDER BY date DESC LIMIT 1) c
        WHERE k.run_id = $1 GROUP BY s.tenant
     ), seed AS MATERIALIZED (
       SELECT t.tenant_id, t.last_day, t.searched_through,
              CASE WHEN joined THEN t.computed_from ELSE touched.latest END AS lo,
              CASE WHEN joined THEN coalesce(up.reached, t.computed_through) ELSE touched.latest END AS hi,
              CASE WHEN joined THEN '-infinity' ELSE coalesce(t.computed_through, '-infinity') END AS floor
         FROM touched JOIN usage_tenant t ON t.tenant_id = touched.tenant_id
        CROSS JOIN LATERAL (${walk("t.tenant_id", "t.computed_through", "+", "true")}) up
        CROSS JOIN LATERAL (SELECT touched.latest <= coalesce(up.reached, t.computed_through)) j (joined)
     ), stretch AS MATERIALIZED (
       SELECT s.tenant_id, s.last_day, s.searched_through, coalesce(down.reached, s.lo) AS lo,
              coalesce(up.reached, s.hi) AS hi
         FROM seed s
         LEFT JOIN daily_usage_cache below
           ON below.tenant_id = s.tenant_id AND below.date = s.lo - 1 AND ${isWhole("below")}
        CROSS JOIN LATERAL (${walk("s.tenant_id", "s.lo", "-", "date > s.floor AND below.date IS NOT NULL")}) down
        CROSS JOIN LATERAL (${walk("s.tenant_id", "s.hi", "+", "true")}) up
     )
     UPDATE usage_tenant t SET computed_from = n.computed_from, computed_through = n.computed_through
       FROM (SELECT tenant_id, lo AS computed_from,
                    CASE WHEN hi >= last_day THEN greatest(hi, searched_through) ELSE hi END AS computed_through
               FROM stretch) n
      WHERE t.tenant_id = n.tenant_id
        AND (t.computed_from, t.computed_through) IS DISTINCT FROM (n.computed_from, n.computed_through)`,
    [runId],
  );
  // A run over all tenants has searched new days also for tenants with nothing to rebuild.
  await connection.query(
    `UPDATE usage_tenant SET computed_through = searched_through
      WHERE tenant_id IN (SELECT tenant_id FROM usage_tenant
                           WHERE computed_through >= last_day AND searched_through > computed_through
                             AND EXISTS (SELECT FROM usage_run WHERE id = $1 AND tenants IS NULL)
                           ORDER BY tenant_id FOR NO KEY UPDATE)
        AND computed_through >= last_day AND searched_through > computed_through`,
    [runId],
  );
}
