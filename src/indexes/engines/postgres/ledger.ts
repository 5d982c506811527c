/** The ledger of a PostgreSQL database: one of the keeper's own tables, written by the connection that builds. */
import pg from "pg";
import { UsageError } from "../../../errors.ts";
import { messageOf } from "../engine.ts";
import { type Ledger, type LedgerEntry } from "../../ledger/ledger.ts";
import type { IndexSession } from "./session.ts";

const NO_RIGHT = "42501";
const ISO = `YYYY-MM-DD"T"HH24:MI:SS.US"Z"`;

/** Written under the keeper's lock, so that no two processes create its table at once. */
export class PostgresLedger implements Ledger {
  readonly #session: IndexSession;
  #exists = false;

  constructor(session: IndexSession) {
    this.#session = session;
  }

  async read(): Promise<readonly LedgerEntry[]> {
    if (!(await this.#isThere())) return [];
    const rows = await this.#query<Row>(
      "read",
      `
      SELECT target, name, project, run_id::text AS "runId", intent, state, fingerprint, definition, previous, oid::text,
             to_char(started_at AT TIME ZONE 'UTC', '${ISO}') AS "startedAt",
             to_char(finished_at AT TIME ZONE 'UTC', '${ISO}') AS "finishedAt", error,
             baseline_bytes::text AS bytes, baseline_rows::text AS rows
        FROM ${this.#session.tables.ledger} ORDER BY started_at, target, name`,
    );
    return rows.map(({ oid, bytes, rows: count, previous, finishedAt, error, ...entry }) => ({
      ...entry,
      ...(previous === null ? {} : { previous }),
      ...(oid === null ? {} : { oid: Number(oid) }),
      ...(finishedAt === null ? {} : { finishedAt }),
      ...(error === null ? {} : { error }),
      ...(bytes === null || count === null ? {} : { baseline: { bytes: Number(bytes), rows: Number(count) } }),
    }));
  }

  async write(entry: Omit<LedgerEntry, "startedAt" | "finishedAt">): Promise<void> {
    await this.#create();
    const { target, name, project, runId, intent, state, fingerprint, definition, previous, oid, error, baseline } =
      entry;
    await this.#query(
      "written",
      `INSERT INTO ${this.#session.tables.ledger} AS l (target, name, project, run_id, intent, state, fingerprint, definition, previous, oid,
                                  error, baseline_bytes, baseline_rows, started_at, finished_at)
       SELECT u.*, clock_timestamp(), CASE WHEN u.state <> 'started' THEN clock_timestamp() END
         FROM (SELECT $1::text, $2::text, $3::text, $4::uuid, $5::text, $6::text AS state, $7::text, $8::text, $9::text,
                      $10::bigint, $11::text, $12::bigint, $13::bigint) u
       ON CONFLICT (run_id, target, name) DO UPDATE
          SET intent = EXCLUDED.intent, state = EXCLUDED.state, fingerprint = EXCLUDED.fingerprint,
              definition = EXCLUDED.definition, previous = coalesce(EXCLUDED.previous, l.previous),
              oid = coalesce(EXCLUDED.oid, l.oid), error = EXCLUDED.error,
              baseline_bytes = coalesce(EXCLUDED.baseline_bytes, l.baseline_bytes),
              baseline_rows = coalesce(EXCLUDED.baseline_rows, l.baseline_rows), finished_at = EXCLUDED.finished_at`,
      [
        target,
        name,
        project,
        runId,
        intent,
        state,
        fingerprint,
        definition,
        previous ?? null,
        oid ?? null,
        error ?? null,
        baseline?.bytes ?? null,
        baseline?.rows ?? null,
      ],
    );
  }

  async #create(): Promise<void> {
    if (this.#exists) return;
    const { ledger, schema } = this.#session.tables;
    await orAdvise("written", `USAGE, CREATE ON SCHEMA ${schema}`, async () => {
      if (await this.#isThere()) return;
      await this.#session.query(`
        CREATE TABLE IF NOT EXISTS ${ledger} (
          run_id uuid, target text, name text, project text NOT NULL, intent text NOT NULL, state text NOT NULL,
          fingerprint text NOT NULL, definition text NOT NULL, previous text, oid bigint, error text,
          baseline_bytes bigint, baseline_rows bigint, started_at timestamptz NOT NULL, finished_at timestamptz,
          PRIMARY KEY (run_id, target, name))`);
    });
    this.#exists = true;
  }

  async #isThere(): Promise<boolean> {
    const { ledger, schema } = this.#session.tables;
    return orAdvise("read", `USAGE ON SCHEMA ${schema}`, async () => {
      const [table] = await this.#session.query<{ there: boolean }>("SELECT to_regclass($1) IS NOT NULL AS there", [
        ledger,
      ]);
      return table?.there === true;
    });
  }

  /** A statement on the table itself. */
  async #query<Result extends pg.QueryResultRow>(done: "read" | "written", sql: string, values: unknown[] = []) {
    const grant = `SELECT, INSERT, UPDATE ON ${this.#session.tables.ledger}`;
    return orAdvise(done, grant, () => this.#session.query<Result>(sql, values));
  }
}

/** @throws UsageError with the statement for an owner to run, where this role lacks a right */
async function orAdvise<Result>(done: "read" | "written", grant: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof pg.DatabaseError) || error.code !== NO_RIGHT) throw error;
    throw new UsageError(
      `the index ledger cannot be ${done}: ${messageOf(error)}. Let an owner run: GRANT ${grant} TO <the role of index work>`,
      { cause: error },
    );
  }
}

type Row = Omit<LedgerEntry, "previous" | "oid" | "finishedAt" | "error" | "baseline"> & {
  previous: string | null;
  oid: string | null;
  finishedAt: string | null;
  error: string | null;
  bytes: string | null;
  rows: string | null;
};
