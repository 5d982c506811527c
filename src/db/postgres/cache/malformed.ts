import {
  notExamined,
  NOT_EXAMINED,
  type MalformedByDay,
  type MalformedField,
  type MalformedPlace,
} from "../../../usage/malformed.ts";
import { dayKey, type TenantDay } from "../../../usage/tenant-day.ts";
import type { Connection } from "../pool.ts";
import type { CacheRow } from "./cache-row.ts";
import { keyArrays } from "./rows.ts";

/** The stored malformed fields of a tenant-day, and the content of the row that they belong to. */
export interface KnownMalformed {
  readonly contentHash: Buffer;
  readonly fields: readonly MalformedField[];
}

/** The stored malformed fields of tenant-days, by dayKey, without days that have none. */
export async function readMalformed(
  connection: Connection,
  days: readonly TenantDay[],
): Promise<Map<string, KnownMalformed>> {
  const { rows } = await connection.query<TenantDay & KnownMalformed>(
    `SELECT m.tenant_id AS tenant, m.date, m.content_hash AS "contentHash",
            jsonb_agg(jsonb_build_object('field', m.field, 'reason', m.reason, 'found', m.found, 'events', m.events,
                                         'sampleId', m.sample_id) ORDER BY m.field, m.reason) AS fields
       FROM usage_malformed m
       JOIN unnest($1::text[], $2::date[]) AS k (tenant_id, date) ON m.tenant_id = k.tenant_id AND m.date = k.date
      GROUP BY m.tenant_id, m.date, m.content_hash`,
    keyArrays(days),
  );
  return new Map(
    rows.map(({ tenant, date, contentHash, fields }) => [dayKey({ tenant, date }), { contentHash, fields }]),
  );
}

/**
 * Replaces the malformed fields of rows that this transaction has written or found unchanged, so that the table describes
 * the rows as they are now. The locks on the rows of the cache order these writes too. Rows without malformed events, now
 * and before, cost no statement.
 *
 * @param stored the rows as they were
 */
export async function replaceMalformed(
  connection: Connection,
  { written, unchanged }: { readonly written: readonly CacheRow[]; readonly unchanged: readonly CacheRow[] },
  located: MalformedByDay,
  stored: ReadonlyMap<string, { readonly hasMalformed: boolean }>,
): Promise<void> {
  const rows = [...written, ...unchanged.filter((row) => located.get(dayKey(row))?.isStored !== true)];
  // A row that somebody deleted may have left entries behind.
  const former = rows.filter((row) => stored.get(dayKey(row))?.hasMalformed ?? row.malformed > 0);
  if (former.length > 0) await removeMalformed(connection, former);
  const entries = rows.flatMap((row) => malformedOf(row, located).map((field) => ({ ...row, ...field })));
  if (entries.length === 0) return;
  await connection.query(
    `INSERT INTO usage_malformed (tenant_id, date, field, reason, found, events, sample_id, content_hash)
     SELECT * FROM unnest($1::text[], $2::date[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::bytea[])
     ON CONFLICT (tenant_id, date, field, reason) DO UPDATE
        SET found = EXCLUDED.found, events = EXCLUDED.events, sample_id = EXCLUDED.sample_id,
            content_hash = EXCLUDED.content_hash`,
    [
      ...keyArrays(entries),
      entries.map(({ field }) => field),
      entries.map(({ reason }) => reason),
      entries.map(({ found }) => found),
      entries.map(({ events }) => events),
      entries.map(({ sampleId }) => sampleId),
      entries.map(({ documents }) => documents.contentHash),
    ],
  );
}

/** The malformed fields of a row; one entry that says so where they were not examined. */
export function malformedOf(row: CacheRow, located: MalformedByDay): readonly MalformedField[] {
  if (row.malformed <= 0) return [];
  return located.get(dayKey(row))?.fields ?? [notExamined(Number(row.malformed))];
}

/** Removes the malformed fields of tenant-days. */
async function removeMalformed(connection: Connection, days: readonly TenantDay[]): Promise<void> {
  await connection.query(
    `DELETE FROM usage_malformed m USING unnest($1::text[], $2::date[]) AS u (tenant_id, date)
      WHERE m.tenant_id = u.tenant_id AND m.date = u.date`,
    keyArrays(days),
  );
}

/** After an undo: the fields of days whose rows it restored are not examined, those of removed rows are gone. */
export async function forgetMalformed(connection: Connection, days: readonly TenantDay[]): Promise<void> {
  if (days.length === 0) return;
  await removeMalformed(connection, days);
  await connection.query(
    `INSERT INTO usage_malformed (tenant_id, date, field, reason, found, events, content_hash)
     SELECT c.tenant_id, c.date, $3, $4, '', c.malformed_events, c.content_hash
       FROM daily_usage_cache c
       JOIN unnest($1::text[], $2::date[]) AS u (tenant_id, date) ON c.tenant_id = u.tenant_id AND c.date = u.date
      WHERE c.malformed_events > 0`,
    [...keyArrays(days), NOT_EXAMINED.field, NOT_EXAMINED.reason],
  );
}

/** Columns that sum up entries `m` for each tenant, field and reason. */
export const PLACE_COLUMNS = `m.tenant, m.field, m.reason, (array_agg(m.found ORDER BY m.events DESC))[1] AS found,
  sum(m.events)::float8 AS events, sum(m.days)::float8 AS days, max(m."lastDay")::text AS "lastDay",
  (array_agg(m."sampleId" ORDER BY m.events DESC))[1] AS "sampleId"`;

/** Where the rows of the cache have malformed events now, by tenant, field and reason, the most events first. */
export async function malformedNow(connection: Connection, limit: number): Promise<MalformedPlace[]> {
  const { rows } = await connection.query<MalformedPlace>(
    `SELECT ${PLACE_COLUMNS}
       FROM (SELECT tenant_id AS tenant, field, reason, found, events, 1 AS days, date AS "lastDay", sample_id AS "sampleId"
               FROM usage_malformed) m
      GROUP BY m.tenant, m.field, m.reason ORDER BY sum(m.events) DESC, m.tenant, m.field, m.reason LIMIT $1`,
    [limit],
  );
  return rows;
}

/** Malformed events of all tenants by field and reason, as a metric shows them. */
export interface MalformedCount {
  readonly field: string;
  readonly reason: string;
  readonly events: number;
}

/** The same over all tenants. */
export async function countMalformed(connection: Connection): Promise<MalformedCount[]> {
  const { rows } = await connection.query<MalformedCount>(
    "SELECT field, reason, sum(events)::float8 AS events FROM usage_malformed GROUP BY field, reason ORDER BY 1, 2",
  );
  return rows;
}
