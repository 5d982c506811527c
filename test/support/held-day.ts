import pg from "pg";
import { until } from "./until.ts";

/**
 * A row that a transaction of the test's own has begun to insert: whoever writes that tenant-day waits until it is let
 * go, and then finds no row there. A chunk whose last day is held has been read to its end and is not done.
 */
export class HeldDay {
  readonly #client: pg.Client;

  private constructor(client: pg.Client) {
    this.#client = client;
  }

  static async hold(databaseUrl: string | undefined, tenant: string, date: string): Promise<HeldDay> {
    const client = new pg.Client({ connectionString: databaseUrl });
    await client.connect();
    await client.query("BEGIN");
    await client.query(
      `INSERT INTO daily_usage_cache
       VALUES ($1, $2, '{}', '{}', '{}', '{}', 0, 0, 0, 0, 0, 0, 0, sha256(''), 'final', 1, now(), now())`,
      [tenant, date],
    );
    return new HeldDay(client);
  }

  /** Returns once somebody waits for it. */
  async awaited(): Promise<void> {
    await until("writer of the day that is held", async () => {
      const { rowCount } = await this.#client.query(
        // Not pg_stat_activity: a transaction sees one snapshot of it.
        "SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))",
      );
      return rowCount !== 0;
    });
  }

  async letGo(): Promise<void> {
    await this.#client.query("ROLLBACK");
    await this.#client.end();
  }
}
