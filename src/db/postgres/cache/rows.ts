import type { CacheRow } from "./cache-row.ts";
import type { Stamp } from "../../../usage/stamp.ts";
import { NO_ALLOWANCE, type FreshDay } from "../../../usage/classify.ts";
import { MEASURES, measureText, type Measures, type MeasureTexts } from "../../../usage/measures.ts";
import { dayKey, type TenantDay } from "../../../usage/tenant-day.ts";
import {
  columnArrays,
  COMPUTED_COLUMNS,
  listColumns,
  MOVING_COLUMNS,
  setColumns,
  TOUCH_COLUMNS,
  unnestColumns,
} from "./columns.ts";
import type { Connection } from "../pool.ts";
import { readStamp, stampSql } from "../stamp.ts";

/** What a write needs of a stored row. */
export interface StoredRow extends TenantDay, MeasureTexts {
  readonly readAt: Stamp;
  readonly contentHash: Buffer;
  readonly sourceEvents: bigint;
  readonly revision: number;
  /** does usage_malformed have entries of the day? */
  readonly hasMalformed: boolean;
}

/** A day's requests, tokens and cost as text, which holds every digit. */
export interface Figures {
  readonly requests: string;
  readonly tokens: string;
  readonly cost: string;
}

/** A row that was written or removed; undefined before = inserted, undefined after = removed. */
export interface Change extends TenantDay {
  readonly revision: number;
  readonly before: Figures | undefined;
  readonly after: Figures | undefined;
}

/** The part of a computed row that classify() needs. */
export function freshDay({ readAt, state, isBeforeHorizon, totals, documents }: CacheRow): FreshDay {
  return { readAt, state, isBeforeHorizon, contentHash: documents.contentHash, sourceEvents: totals.requests };
}

/** The rules of classify() that protect a row, repeated inside the statements. */
const IS_NEWER = "(c.read_at <= EXCLUDED.read_at OR c.read_at > clock_timestamp() + interval '5 minutes')";
const KEEPS_EVENTS = "(EXCLUDED.state <> 'final' OR EXCLUDED.source_events >= c.source_events)";

/**
 * The column is that of the row as it was locked. The subquery may not see entries of a transaction that the lock waited
 * for; it is for entries that the version before left behind a row that it wrote.
 */
const HAS_MALFORMED = `(c.malformed_events > 0 OR EXISTS (
  SELECT FROM usage_malformed m WHERE m.tenant_id = c.tenant_id AND m.date = c.date))`;

/** Locks the existing rows of `days` in key order. @returns them, and the clock of the primary */
export async function lockRows(
  connection: Connection,
  days: readonly TenantDay[],
): Promise<{ rows: Map<string, StoredRow>; now: Stamp }> {
  const rows = await selectRows(connection, days, "FOR UPDATE OF c");
  return { rows, now: await readStamp(connection) };
}

/** The existing rows of `days`, by dayKey, without a lock. */
export async function readRows(connection: Connection, days: readonly TenantDay[]): Promise<Map<string, StoredRow>> {
  return selectRows(connection, days, "");
}

async function selectRows(
  connection: Connection,
  days: readonly TenantDay[],
  lock: "FOR UPDATE OF c" | "",
): Promise<Map<string, StoredRow>> {
  const { rows } = await connection.query<Omit<StoredRow, "sourceEvents"> & { sourceEvents: string }>(
    `SELECT c.tenant_id AS tenant, c.date, ${stampSql("c.read_at")} AS "readAt", c.content_hash AS "contentHash",
            c.source_events AS "sourceEvents", c.revision,
            ${MEASURES.map(({ name, column }) => `c.${column}::text AS ${name}`).join(", ")},
            ${HAS_MALFORMED} AS "hasMalformed"
       FROM daily_usage_cache c
       JOIN unnest($1::text[], $2::date[]) AS k (tenant_id, date) ON c.tenant_id = k.tenant_id AND c.date = k.date
      ORDER BY c.tenant_id, c.date ${lock}`,
    keyArrays(days),
  );
  return new Map(rows.map((row) => [dayKey(row), { ...row, sourceEvents: BigInt(row.sourceEvents) }]));
}

/**
 * Inserts or replaces whole rows in one statement. Rows that a newer read has written, or that would shrink, stay
 * unchanged and are missing from the answer.
 *
 * @returns the new revision of each row written, by dayKey
 */
export async function upsertRows(
  connection: Connection,
  rows: readonly CacheRow[],
  { shrink } = NO_ALLOWANCE,
): Promise<Map<string, number>> {
  if (rows.length === 0) return new Map();
  const { rows: written } = await connection.query<TenantDay & { revision: number }>(
    `INSERT INTO daily_usage_cache AS c (tenant_id, date, ${listColumns(COMPUTED_COLUMNS)}, cached_at, revision)
     SELECT u.tenant_id, u.date, ${listColumns(COMPUTED_COLUMNS, "u.")}, clock_timestamp(), 1
       FROM ${unnestColumns(COMPUTED_COLUMNS, "u")}
      ORDER BY u.tenant_id COLLATE "C", u.date
     ON CONFLICT (tenant_id, date) DO UPDATE
        SET ${setColumns(COMPUTED_COLUMNS)}, cached_at = EXCLUDED.cached_at, revision = c.revision + 1
      WHERE ${IS_NEWER}${shrink ? "" : ` AND ${KEEPS_EVENTS}`}
     RETURNING c.tenant_id AS tenant, c.date, c.revision`,
    columnArrays(COMPUTED_COLUMNS, rows),
  );
  return new Map(written.map((row) => [dayKey(row), row.revision]));
}

/** Updates the read stamp and the state of rows with unchanged content. @returns how many rows it updated */
export async function touchRows(connection: Connection, rows: readonly CacheRow[]): Promise<number> {
  if (rows.length === 0) return 0;
  const { rowCount } = await connection.query(
    `UPDATE daily_usage_cache c SET ${setColumns(MOVING_COLUMNS)}
       FROM ${unnestColumns(TOUCH_COLUMNS, "EXCLUDED")}
      WHERE c.tenant_id = EXCLUDED.tenant_id AND c.date = EXCLUDED.date
        AND c.content_hash = EXCLUDED.content_hash AND ${IS_NEWER}`,
    columnArrays(TOUCH_COLUMNS, rows),
  );
  return rowCount ?? 0;
}

/** "tallyman" in ASCII, so that a DBA who looks at pg_locks sees a number of ours. */
const CHANGE_LOCK = 0x74616c6c;

/**
 * Records changes for readers that page by id. A lock until the commit makes the order of ids the order of commits, so it
 * must be the last statement that can wait.
 */
export async function recordChanges(connection: Connection, runId: string, changes: readonly Change[]): Promise<void> {
  if (changes.length === 0) return;
  await connection.query("SELECT pg_advisory_xact_lock($1, 0)", [CHANGE_LOCK]);
  await connection.query(
    `INSERT INTO usage_change (run_id, tenant_id, date, revision, old_requests, old_tokens, old_cost,
                               new_requests, new_tokens, new_cost)
     SELECT $1, u.* FROM unnest($2::text[], $3::date[], $4::int[], $5::bigint[], $6::bigint[], $7::numeric[],
                                $8::bigint[], $9::bigint[], $10::numeric[]) AS u`,
    [
      runId,
      ...keyArrays(changes),
      changes.map(({ revision }) => revision),
      ...FIGURES.map((name) => changes.map(({ before }) => before?.[name] ?? null)),
      ...FIGURES.map((name) => changes.map(({ after }) => after?.[name] ?? null)),
    ],
  );
  await connection.query("SELECT pg_notify('daily_usage_cache', '')");
}

const FIGURES = ["requests", "tokens", "cost"] as const satisfies readonly (keyof Figures)[];

/** The figures of totals, as they are recorded and shown. */
export function figuresOf(totals: Measures): Figures {
  return {
    requests: measureText(totals, "requests"),
    tokens: measureText(totals, "tokens"),
    cost: measureText(totals, "cost"),
  };
}

/** Keys of tenant-days as the two arrays that UNNEST takes. */
export function keyArrays(days: readonly TenantDay[]): [string[], string[]] {
  return [days.map(({ tenant }) => tenant), days.map(({ date }) => date)];
}
