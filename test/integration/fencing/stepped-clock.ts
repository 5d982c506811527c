import pg from "pg";

/**
 * The clock of a world's PostgreSQL, put where a test wants it: in its database clock_timestamp() is the server's own plus
 * a shift, or stands still.
 */
export class SteppedClock {
  readonly #client: pg.Client;

  private constructor(client: pg.Client) {
    this.#client = client;
  }

  static async create(databaseUrl: string | undefined): Promise<SteppedClock> {
    const client = new pg.Client({ connectionString: databaseUrl });
    await client.connect();
    await client.query(`
      CREATE SCHEMA stepped;
      CREATE TABLE stepped.shift (by interval NOT NULL, still_at timestamptz);
      INSERT INTO stepped.shift VALUES ('0');
      CREATE FUNCTION stepped.true_clock() RETURNS timestamptz LANGUAGE internal VOLATILE AS 'clock_timestamp';
      ALTER FUNCTION pg_catalog.clock_timestamp() RENAME TO own_clock_timestamp; -- the server calls its own by number
      CREATE FUNCTION pg_catalog.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
        AS 'SELECT coalesce(still_at, stepped.true_clock() + by) FROM stepped.shift'`);
    return new SteppedClock(client);
  }

  /** So much ahead of the true time, as "4 minutes"; behind it where negative. */
  async ahead(by: string): Promise<void> {
    await this.#client.query("UPDATE stepped.shift SET by = $1, still_at = NULL", [by]);
  }

  /** At this instant, from where it goes on. */
  async at(instant: string): Promise<void> {
    await this.#client.query("UPDATE stepped.shift SET by = $1::timestamptz - stepped.true_clock(), still_at = NULL", [
      instant,
    ]);
  }

  /** At this instant, where it stands still: so near to an edge a test might be too slow for a clock that goes on. */
  async still(instant: string): Promise<void> {
    await this.#client.query("UPDATE stepped.shift SET still_at = $1", [instant]);
  }

  async close(): Promise<void> {
    await this.#client.end();
  }
}
