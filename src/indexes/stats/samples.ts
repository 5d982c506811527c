/**
 * Stores the samples of both databases in PostgreSQL, since only the growth of a counter says something. Also stores
 * the newest report, so that every replica shows the same metrics.
 */
import pg from "pg";
import { messageOf } from "../engines/engine.ts";
import type { IndexSession } from "../engines/postgres/session.ts";
import type { Sample, TargetFigures } from "../engines/figures.ts";
import { findOwnTables, type OwnTables } from "../engines/postgres/own-tables.ts";

/** The same as for the history of the totals; a sample of a table with ten indexes takes about 4 kB. */
const KEEP_DAYS = 400;
/** Every sample is kept for so many days, older ones only one a day. */
const KEEP_ALL_DAYS = 2;
/** A sample sooner than this after the last is not kept: `stats --watch 1` would fill the table. */
const MIN_GAP_MINUTES = 10;
const MAX_CREATE_ATTEMPTS = 5;
/** Another process created it meanwhile: IF NOT EXISTS does not protect from that race. */
const RACES = new Set(["23505", "42P06", "42P07", "42710"]);
const UNREADABLE = new Set(["42P01", "42501", "3F000"]);

/** The database of the samples: two databases may have a collection of the same name. */
interface Place {
  readonly database: string;
}

export class Samples {
  readonly #sql: IndexSession;

  private constructor(sql: IndexSession) {
    this.#sql = sql;
  }

  /**
   * Creates the tables if they do not exist and `mayCreate` is set.
   *
   * @returns a text that says why there are no samples, if this role may not create or use the tables
   */
  static async open(sql: IndexSession, mayCreate: boolean): Promise<Samples | string> {
    const { samples, reports } = sql.tables;
    for (let attempt = 1; ; attempt += 1) {
      try {
        const [tables] = await sql.query<{ there: boolean }>(
          "SELECT to_regclass($1) IS NOT NULL AND to_regclass($2) IS NOT NULL AS there",
          [samples, reports],
        );
        if (tables?.there !== true && !mayCreate) return "no sample was stored yet";
        if (tables?.there !== true) for (const statement of createStatements(sql.tables)) await sql.query(statement);
        const [rights] = await sql.query<{ enough: boolean }>(
          `SELECT has_table_privilege($1, 'SELECT') AND has_table_privilege($1, 'INSERT') AND has_table_privilege($1, 'DELETE') AS enough`,
          [samples],
        );
        return rights?.enough === true ? new Samples(sql) : `this role may not read and write ${samples}`;
      } catch (error) {
        const code = codeOf(error);
        if (RACES.has(code) && attempt < MAX_CREATE_ATTEMPTS) continue;
        if (code === "42501" || code === "25006") return messageOf(error);
        throw error;
      }
    }
  }

  /** Earlier samples of a target, oldest first. */
  async load({ engine, target }: Pick<TargetFigures, "engine" | "target">, { database }: Place): Promise<Sample[]> {
    const rows = await this.#sql.query<{ at: Date; figures: TargetFigures }>(
      `SELECT taken_at AS at, figures FROM ${this.#sql.tables.samples}
        WHERE engine = $1 AND database = $2 AND target = $3 ORDER BY taken_at`,
      [engine, database, target],
    );
    return rows.map(({ at, figures }) => ({ ...figures, at: at.toISOString() }));
  }

  /** Stores a sample, unless the last is too recent (`force`: in any case), and deletes old ones. */
  async save({ at, ...figures }: Sample, { database }: Place, force: boolean): Promise<void> {
    const key = [figures.engine, database, figures.target];
    await this.#sql.query(
      `INSERT INTO ${this.#sql.tables.samples} (engine, database, target, taken_at, figures)
       SELECT $1, $2, $3, $4::timestamptz, $5::jsonb
        WHERE $6 OR NOT EXISTS (
          SELECT FROM ${this.#sql.tables.samples} WHERE engine = $1 AND database = $2 AND target = $3
             AND taken_at > $4::timestamptz - make_interval(mins => ${MIN_GAP_MINUTES}))
       ON CONFLICT DO NOTHING`,
      [...key, at, JSON.stringify(figures), force],
    );
    await this.#sql.query(
      `DELETE FROM ${this.#sql.tables.samples} s
        WHERE engine = $1 AND database = $2 AND target = $3
          AND (taken_at < $4::timestamptz - make_interval(days => ${KEEP_DAYS})
               OR taken_at < $4::timestamptz - make_interval(days => ${KEEP_ALL_DAYS})
                  AND EXISTS (SELECT FROM ${this.#sql.tables.samples} o
                               WHERE o.engine = s.engine AND o.database = s.database AND o.target = s.target
                                 AND o.taken_at < s.taken_at
                                 AND date_trunc('day', o.taken_at, 'UTC') = date_trunc('day', s.taken_at, 'UTC')))`,
      [...key, at],
    );
  }

  /** Overwrites the stored report. @param reader a role that gets the right to read it, such as the worker's */
  async report(report: object, at: string, reader?: string): Promise<void> {
    await this.#sql.query(
      `INSERT INTO ${this.#sql.tables.reports} (only_row, taken_at, report) VALUES (true, $1::timestamptz, $2::jsonb)
       ON CONFLICT (only_row) DO UPDATE SET taken_at = EXCLUDED.taken_at, report = EXCLUDED.report
        WHERE ${this.#sql.tables.reports}.taken_at <= EXCLUDED.taken_at`,
      [at, JSON.stringify(report)],
    );
    if (reader === undefined) return;
    const { schema, reports } = this.#sql.tables;
    const [rights] = await this.#sql.query<{ wanting: boolean }>(
      `SELECT NOT (has_schema_privilege(rolname, to_regnamespace($2)::oid, 'USAGE') AND has_table_privilege(rolname, $3, 'SELECT')) AS wanting
         FROM pg_roles WHERE rolname = $1`,
      [reader, schema, reports],
    );
    if (rights?.wanting !== true) return;
    await this.#sql.query(`GRANT USAGE ON SCHEMA ${schema} TO ${pg.escapeIdentifier(reader)}`);
    await this.#sql.query(`GRANT SELECT ON ${this.#sql.tables.reports} TO ${pg.escapeIdentifier(reader)}`);
  }
}

/** The newest report, or undefined where there is none yet or this role may not read it. */
export async function newestReport<Report>(
  sql: Pick<pg.Pool, "query">,
): Promise<(Report & { readonly at: string }) | undefined> {
  try {
    const { reports } = await findOwnTables(sql);
    const { rows } = await sql.query<{ at: Date; report: Report }>(`SELECT taken_at AS at, report FROM ${reports}`);
    return rows[0] && { ...rows[0].report, at: rows[0].at.toISOString() };
  } catch (error) {
    if (UNREADABLE.has(codeOf(error))) return undefined;
    throw error;
  }
}

function codeOf(error: unknown): string {
  return (error instanceof pg.DatabaseError ? error.code : undefined) ?? "";
}

const createStatements = ({ samples, reports }: OwnTables) => [
  `CREATE TABLE IF NOT EXISTS ${samples} (
     engine text NOT NULL, database text NOT NULL, target text NOT NULL, taken_at timestamptz NOT NULL,
     figures jsonb NOT NULL, PRIMARY KEY (engine, database, target, taken_at))`,
  `CREATE TABLE IF NOT EXISTS ${reports} (
     only_row boolean PRIMARY KEY CHECK (only_row), taken_at timestamptz NOT NULL, report jsonb NOT NULL)`,
];
