/** A connection for `verify`. Every transaction on it is rolled back. */
import type pg from "pg";
import { isConnectionLoss, UnreachableError } from "../../../../errors.ts";
import { messageOf } from "../../engine.ts";
import { connectPostgres } from "../connect.ts";

/** Short, so that verify does not hold a snapshot while it waits behind someone's DDL. */
const LOCK_TIMEOUT_MS = 2_000;

export type Query = <Row extends pg.QueryResultRow>(sql: string, values?: readonly unknown[]) => Promise<Row[]>;

export class PostgresReader {
  readonly #client: pg.Client;
  readonly #limitMs: number;

  private constructor(client: pg.Client, limitMs: number) {
    this.#client = client;
    this.#limitMs = limitMs;
  }

  /** @param limitMs limit for one statement. @throws UnreachableError, UsageError */
  static async open(databaseUrl: string, limitMs: number): Promise<PostgresReader> {
    const client = await connectPostgres(databaseUrl, "tallyman indexes verify");
    return new PostgresReader(client, limitMs);
  }

  async close(): Promise<void> {
    await this.#client.end().catch(() => undefined);
  }

  /** Names of all indexes of a table; empty if the table does not exist. */
  async indexNames(schema: string, table: string): Promise<string[]> {
    const sql = `
      SELECT c.relname AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
       WHERE n.nspname = $1 AND t.relname = $2`;
    return (await this.#query<{ name: string }>(sql, [schema, table])).map(({ name }) => name);
  }

  /** Works in a read-only transaction in which names without a schema are looked up in this schema first. */
  reading<T>(schema: string, work: (query: Query) => Promise<T>): Promise<T> {
    return this.#within("BEGIN READ ONLY", schema, work);
  }

  /**
   * Works in a transaction in which temporary tables hide all others of the same name; rolled back.
   *
   * @param prepare may create temporary tables and their indexes
   * @param work only reads
   */
  trying<T>(
    schema: string,
    prepare: (query: Query) => Promise<unknown>,
    work: (query: Query) => Promise<T>,
  ): Promise<T> {
    return this.#within("BEGIN", schema, async (query) => {
      await query("SELECT set_config('search_path', 'pg_temp, ' || current_setting('search_path'), true)");
      await prepare(query);
      await query("SET TRANSACTION READ ONLY");
      return work(query);
    });
  }

  async #within<T>(begin: string, schema: string, work: (query: Query) => Promise<T>): Promise<T> {
    const query: Query = async (sql, values = []) => this.#query(sql, values);
    await query(begin);
    try {
      await query(
        `SELECT set_config('search_path', quote_ident($1) || ', ' || current_setting('search_path'), true),
                set_config('statement_timeout', $2, true), set_config('lock_timeout', $3, true)`,
        [schema, String(this.#limitMs), String(LOCK_TIMEOUT_MS)],
      );
      return await work(query);
    } finally {
      await this.#client.query("ROLLBACK").catch(() => undefined);
    }
  }

  /** Always in the extended protocol, which takes a single statement only. */
  async #query<Row extends pg.QueryResultRow>(text: string, values: readonly unknown[]): Promise<Row[]> {
    try {
      const statement = { text, values: [...values], queryMode: "extended" };
      return (await this.#client.query<Row>(statement)).rows;
    } catch (error) {
      if (!isConnectionLoss(error)) throw error;
      throw new UnreachableError(`PostgreSQL: ${messageOf(error)}`, { cause: error });
    }
  }
}
