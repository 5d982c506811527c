import type { CacheRow } from "../db/postgres/cache/cache-row.ts";
import type { KnownMalformed } from "../db/postgres/cache/malformed.ts";
import type { QueueName } from "../db/postgres/session.ts";
import { dayBounds } from "../usage/day.ts";
import { NOT_EXAMINED, type LocatedMalformed, type MalformedByDay, type MalformedField } from "../usage/malformed.ts";
import { CHUNK_SIZE } from "../usage/plan.ts";
import { dayKey, type TenantDay } from "../usage/tenant-day.ts";
import type { ReadContext } from "./read-tenant-day.ts";

/** For one tenant-day. */
const EXAMINE_LIMIT_MS = 30_000;

/** Events that a chunk reads again to locate malformed ones: twice as many as a chunk is planned for. */
export const EXAMINED_EVENTS = 2 * CHUNK_SIZE.events;

/** What locateMalformed() needs. */
export interface LocateContext extends Pick<ReadContext, "events" | "settings" | "underPermit" | "signal"> {
  /** the malformed fields that are stored for tenant-days, by dayKey */
  readonly readMalformed: (days: readonly TenantDay[]) => Promise<ReadonlyMap<string, KnownMalformed>>;
}

/**
 * Finds the malformed fields of the tenant-days that have malformed events; other days cost nothing. A day whose content
 * is that of the stored fields is not read again. The second read of a day may see an event that the first one missed;
 * the row itself comes from the first read alone.
 *
 * @param examined events that the chunk has read again so far; a day that does not fit is left out, unless it is the first
 */
export async function locateMalformed(
  rows: readonly CacheRow[],
  queue: QueueName,
  context: LocateContext,
  examined: { events: number },
): Promise<MalformedByDay> {
  const located = new Map<string, LocatedMalformed>();
  const suspects = rows.filter(({ malformed }) => malformed > 0);
  if (suspects.length === 0) return located;
  const known = await context.readMalformed(suspects);
  for (const row of suspects) {
    const stored = known.get(dayKey(row));
    if (stored?.contentHash.equals(row.documents.contentHash) && isExamined(stored.fields)) {
      located.set(dayKey(row), { fields: stored.fields, isStored: true });
      continue;
    }
    const events = Number(row.totals.requests);
    if (examined.events > 0 && examined.events + events > EXAMINED_EVENTS) continue;
    examined.events += events;
    const fields = await examine(row, queue, context);
    if (fields) located.set(dayKey(row), { fields, isStored: false });
  }
  return located;
}

function isExamined(fields: readonly MalformedField[]): boolean {
  return fields.length > 0 && fields.every(({ reason }) => reason !== NOT_EXAMINED.reason);
}

/** undefined = the server gave up, or the events are no longer there */
async function examine(
  { tenant, date }: TenantDay,
  queue: QueueName,
  { events, settings, underPermit, signal }: LocateContext,
): Promise<readonly MalformedField[] | undefined> {
  const bounds = dayBounds(date, settings.timeZone);
  const found = await underPermit(queue, () =>
    events.locateMalformed(tenant, bounds, { maxTimeMs: EXAMINE_LIMIT_MS, signal }),
  );
  return found && found.length > 0 ? found : undefined;
}
