import type { Stamp } from "../../../usage/stamp.ts";
import type { Day } from "../../../usage/day.ts";
import type { Finding } from "../../../usage/finding.ts";
import type { Documents } from "../../../usage/document.ts";
import { parseCost, whole, type Whole } from "../../../usage/decimal.ts";
import { MEASURES, type Measures, type MeasureTexts } from "../../../usage/measures.ts";
import { AUDITED_COLUMNS, columnArrays, TOTAL_COLUMNS, unnestColumns, type Column } from "./columns.ts";
import type { TenantDay } from "../../../usage/tenant-day.ts";
import type { Pool } from "../pool.ts";
import { stampSql } from "../stamp.ts";

/** A tenant-day as computed from its events; without `content`, its sums alone. */
export interface ExpectedDay extends TenantDay {
  readonly totals: Measures;
  readonly content?: { readonly documents: Documents; readonly malformed: Whole };
}

/** A stored row compared with the tenant-day computed from events. */
export interface Comparison extends TenantDay {
  readonly row:
    | {
        readonly readAt: Stamp;
        readonly figures: MeasureTexts;
        /** the figures as sums; null = sums that no events could have */
        readonly sums: Measures | null;
      }
    | undefined;
  /** columns of the row that differ */
  readonly columns: readonly string[];
  readonly isDirty: boolean;
  /** within the tenant's computed range, up to its last day with events */
  readonly isCovered: boolean;
}

/** Tenant-days of an audit by outcome; `deep` counts those whose documents were compared too. */
export interface AuditDays {
  readonly checked: number;
  readonly deep: number;
  readonly equal: number;
  readonly pending: number;
  readonly drifted: number;
  readonly missing: number;
  readonly skipped: number;
  readonly failed: number;
}

/** The row of an audit in usage_audit. */
export interface AuditRecord {
  /** the occurrence of the schedule, of which there is one audit; null for a command */
  readonly slot: string | null;
  readonly requestedBy: string;
  readonly from: Day;
  readonly to: Day;
  readonly startedAt: Stamp;
  readonly days: AuditDays;
  readonly invisible: object | null;
  /** why no tenant-day was found; null = some were, or the audit did not look */
  readonly finding: Finding | null;
  readonly drift: readonly object[];
}

/** The newest audit, as metrics show it. */
export interface AuditSummary {
  readonly checked: number;
  /** drifted or missing */
  readonly drifted: number;
  /** seconds since the epoch */
  readonly finishedAt: number;
}

/** A row lists at most so many tenant-days of drift; its counts cover all. */
export const RECORDED_DRIFT = 1_000;

const SHALLOW_SQL = comparisonSql(TOTAL_COLUMNS);
const DEEP_SQL = comparisonSql(AUDITED_COLUMNS);

/** Compares inside PostgreSQL, so that the stored values themselves are compared, not what a driver makes of them. */
function comparisonSql(columns: readonly Pick<Column<never>, "name" | "type">[]): string {
  const differs = columns.map(({ name }) => `CASE WHEN c.${name} IS DISTINCT FROM u.${name} THEN '${name}' END`);
  return `
    SELECT u.tenant_id AS tenant, u.date, ${stampSql("c.read_at")} AS "readAt",
           ${MEASURES.map(({ name, column }) => `c.${column}::text AS ${name}`).join(", ")},
           CASE WHEN c.tenant_id IS NULL THEN '{}'::text[] ELSE array_remove(ARRAY[${differs.join(", ")}], NULL) END AS columns,
           EXISTS (SELECT 1 FROM usage_dirty d WHERE d.tenant_id = u.tenant_id AND d.date = u.date) AS "isDirty",
           EXISTS (SELECT 1 FROM usage_tenant t WHERE t.tenant_id = u.tenant_id
                      AND u.date BETWEEN t.computed_from AND least(t.computed_through, t.last_day)) AS "isCovered"
      FROM ${unnestColumns(columns, "u")}
      LEFT JOIN daily_usage_cache c ON c.tenant_id = u.tenant_id AND c.date = u.date`;
}

/** Statements of audits. One method a statement. */
export class Audits {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  /** Compares tenant-days with their rows; the result has no order. All days have content, or none has. */
  async compare(days: readonly ExpectedDay[]): Promise<Comparison[]> {
    if (days.length === 0) return [];
    const deep = days.flatMap(({ content, ...day }) => (content ? { ...day, ...content } : []));
    if (deep.length > 0 && deep.length < days.length) throw new Error("some days have content and some have none");
    const { rows } = await this.#pool.query<
      Omit<Comparison, "row"> & { readonly readAt: Stamp | null } & Readonly<Record<keyof Measures, string>>
    >(
      deep.length > 0 ? DEEP_SQL : SHALLOW_SQL,
      deep.length > 0 ? columnArrays(AUDITED_COLUMNS, deep) : columnArrays(TOTAL_COLUMNS, days),
    );
    return rows.map(({ tenant, date, readAt, columns, isDirty, isCovered, ...figures }) => {
      const row = readAt === null ? undefined : { readAt, figures, sums: parseFigures(figures) };
      return { tenant, date, row, columns, isDirty, isCovered };
    });
  }

  /** Up to `count` random tenant-days among all within the range. */
  async sample(count: number, from: Day, to: Day): Promise<TenantDay[]> {
    const { rows } = await this.#pool.query<TenantDay>(
      `WITH spans AS (
         SELECT tenant_id, greatest(first_day, $2::date) AS first,
                least(last_day, $3::date) - greatest(first_day, $2::date) + 1 AS days
           FROM usage_tenant WHERE first_day <= $3::date AND last_day >= $2::date AND $2::date <= $3::date),
       laid AS (SELECT *, sum(days) OVER (ORDER BY tenant_id) AS upto FROM spans),
       total AS (SELECT coalesce(max(upto), 0) AS days FROM laid),
       picks AS MATERIALIZED (
         SELECT DISTINCT CASE WHEN total.days <= $1 THEN g - 1 ELSE floor(random() * total.days) END AS n
           FROM total, generate_series(1, $1::int) AS g)
       SELECT tenant_id AS tenant, first + (n - (upto - days))::int AS date
         FROM picks JOIN laid ON n >= upto - days AND n < upto ORDER BY random()`,
      [count, from, to],
    );
    return rows;
  }

  async isRecorded(slot: string): Promise<boolean> {
    const { rowCount } = await this.#pool.query("SELECT 1 FROM usage_audit WHERE slot = $1", [slot]);
    return rowCount === 1;
  }

  /** Inserts the row. @returns its id; undefined = the occurrence has a row already */
  async record({ days, ...audit }: AuditRecord): Promise<string | undefined> {
    const { rows } = await this.#pool.query<{ id: string }>(
      `INSERT INTO usage_audit (slot, requested_by, from_date, to_date, started_at, invisible_events, drift, days_checked,
                                days_deep, days_equal, days_pending, days_drifted, days_missing, days_skipped, days_failed, finding)
       VALUES ($1, $2, $3::date, $4::date, $5::timestamptz, $6::jsonb, $7::jsonb, $8, $9, $10, $11, $12, $13, $14, $15,
               $16::jsonb)
       ON CONFLICT (slot) DO NOTHING RETURNING id`,
      [
        audit.slot,
        audit.requestedBy,
        audit.from,
        audit.to,
        audit.startedAt,
        audit.invisible && JSON.stringify(audit.invisible),
        JSON.stringify(audit.drift.slice(0, RECORDED_DRIFT)),
        days.checked,
        days.deep,
        days.equal,
        days.pending,
        days.drifted,
        days.missing,
        days.skipped,
        days.failed,
        audit.finding && JSON.stringify(audit.finding),
      ],
    );
    return rows[0]?.id;
  }

  /** Stores which run repairs an audit's drift. */
  async recordRepair(id: string, runId: string): Promise<void> {
    await this.#pool.query("UPDATE usage_audit SET repair_run = $2 WHERE id = $1", [id, runId]);
  }

  /** The newest scheduled audit; an audit by hand may cover a single tenant only. */
  async newest(): Promise<AuditSummary | undefined> {
    const { rows } = await this.#pool.query<AuditSummary>(
      `SELECT days_checked AS checked, days_drifted + days_missing AS drifted,
              extract(epoch FROM finished_at)::float8 AS "finishedAt"
         FROM usage_audit WHERE slot IS NOT NULL ORDER BY id DESC LIMIT 1`,
    );
    return rows[0];
  }
}

/** A row written by hand may hold a cost of more than 18 decimals, or NaN. */
function parseFigures(figures: MeasureTexts): Measures | null {
  try {
    const sums = MEASURES.map(({ name, kind }) => {
      return [name, kind === "cost" ? parseCost(figures[name]) : whole(BigInt(figures[name]))];
    });
    return Object.fromEntries(sums) as Measures;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return null;
  }
}
