import pg from "pg";
import { until } from "../support/until.ts";
import { PATIENCE_MS } from "./built.ts";

/**
 * Of src/db/postgres/cache/rows.ts: writers of every release take this lock last before they commit, so it never
 * changes.
 */
const CHANGE_LOCK = 0x74616c6c;

/**
 * Holds writers like a slow writer of another process would: while it is shut, every write stops after its upsert
 * and before its commit.
 */
export class WriteGate {
  readonly #client: pg.Client;

  private constructor(client: pg.Client) {
    this.#client = client;
  }

  static async shut(databaseUrl: string): Promise<WriteGate> {
    const client = new pg.Client({ connectionString: databaseUrl });
    client.on("error", () => undefined); // the fault may take this server down
    await client.connect();
    await client.query("SELECT pg_advisory_lock($1, 0)", [CHANGE_LOCK]);
    return new WriteGate(client);
  }

  /** Waits until a transaction that has written is held. @returns which one, for a person */
  async writer(): Promise<string> {
    return until(
      "writer before its commit",
      async () => {
        const { rows } = await this.#client.query<{ pid: number; xid: string }>(
          `SELECT a.pid, a.backend_xid::text AS xid FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid
            WHERE l.locktype = 'advisory' AND NOT l.granted AND l.classid = $1 AND a.backend_xid IS NOT NULL
              AND a.datname = current_database()`,
          [CHANGE_LOCK],
        );
        return rows[0] && `transaction ${rows[0].xid} uncommitted`;
      },
      PATIENCE_MS,
    );
  }

  /** Lets the writers go on, also if the server has ended meanwhile. */
  async open(): Promise<void> {
    await this.#client.end().catch(() => undefined);
  }
}
