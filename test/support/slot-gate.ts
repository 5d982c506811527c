import pg from "pg";

/** Of src/db/postgres/slots.ts: processes of other releases take the same locks, so it never changes. */
const SLOT_CLASS = 0x74616c6d;

/**
 * Holds the one slot for aggregations of a world with MONGODB_CONCURRENCY=1: while it is shut, every process there
 * comes to a halt before its next read, in the middle of a chunk, with its claim in hand. Of two slots the second is all
 * that bulk work may have.
 */
export class SlotGate {
  readonly #client: pg.Client;
  readonly #slot: number;

  private constructor(client: pg.Client, slot: number) {
    this.#client = client;
    this.#slot = slot;
  }

  static async create(databaseUrl: string | undefined, slot = 1): Promise<SlotGate> {
    const client = new pg.Client({ connectionString: databaseUrl });
    await client.connect();
    return new SlotGate(client, slot);
  }

  /** Returns once no process reads any more. It waits in line, where the processes only try: so it comes next. */
  async shut(): Promise<void> {
    await this.#client.query("SELECT pg_advisory_lock($1, $2)", [SLOT_CLASS, this.#slot]);
  }

  async open(): Promise<void> {
    await this.#client.query("SELECT pg_advisory_unlock($1, $2)", [SLOT_CLASS, this.#slot]);
  }

  /** Opens it, if it was shut, and lets go of the server. */
  async close(): Promise<void> {
    await this.#client.end();
  }
}
