import pg from "pg";

/** Of src/db/postgres/session.ts: processes of other releases take the same locks, so it never changes. */
const PERMIT_CLASS = 0x74616c6d;

/**
 * Holds the one permit for aggregations of a world with MONGODB_CONCURRENCY=1: while it is shut, every process there
 * comes to a halt before its next read, in the middle of a chunk, with its claim in hand. Of two permits the second is all
 * that bulk work may have.
 */
export class PermitGate {
  readonly #client: pg.Client;
  readonly #permit: number;

  private constructor(client: pg.Client, permit: number) {
    this.#client = client;
    this.#permit = permit;
  }

  static async create(databaseUrl: string | undefined, permit = 1): Promise<PermitGate> {
    const client = new pg.Client({ connectionString: databaseUrl });
    await client.connect();
    return new PermitGate(client, permit);
  }

  /** Returns once no process reads any more. It waits in line, where the processes only try: so it comes next. */
  async shut(): Promise<void> {
    await this.#client.query("SELECT pg_advisory_lock($1, $2)", [PERMIT_CLASS, this.#permit]);
  }

  async open(): Promise<void> {
    await this.#client.query("SELECT pg_advisory_unlock($1, $2)", [PERMIT_CLASS, this.#permit]);
  }

  /** Opens it, if it was shut, and lets go of the server. */
  async close(): Promise<void> {
    await this.#client.end();
  }
}
