import type { Pool } from "pg";
import { until } from "./until.ts";

/** Waits until so many backends of clients of the database wait for a lock. */
export async function lockWaiters(pool: Pool, count: number): Promise<void> {
  await until(`${count} backends that wait for a lock`, async () => {
    const { rows } = await pool.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND wait_event_type = 'Lock'`,
    );
    return rows[0]?.n === count;
  });
}

/** The clock of the server, shifted by an interval such as "-1 minute", as a read stamp. */
export async function stampAt(pool: Pool, shift = "0 s"): Promise<string> {
  const { rows } = await pool.query<{ stamp: string }>(
    `SELECT to_char((clock_timestamp() + $1::interval) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS stamp`,
    [shift],
  );
  return rows[0]?.stamp as string;
}
