import type { EventField } from "./event.ts";
import type { TenantDay } from "./tenant-day.ts";

/**
 * Why the value of a field is malformed: `wrongType` (no number, or no key), `notANumber` (NaN), `negative`, `tooLarge`
 * (above 10^12), `fraction` (a token count that is no integer).
 */
export const MALFORMED_REASONS = ["wrongType", "notANumber", "negative", "tooLarge", "fraction"] as const;

export type MalformedReason = (typeof MALFORMED_REASONS)[number];

/** Malformed events of one tenant-day whose fields were not examined: too many events for one chunk, or no time. */
export const NOT_EXAMINED = { field: "unknown", reason: "notExamined" } as const;

/** Events of one tenant-day with a malformed value in one field, for one reason. */
export interface MalformedField {
  readonly field: EventField | typeof NOT_EXAMINED.field;
  readonly reason: MalformedReason | typeof NOT_EXAMINED.reason;
  /** the most frequent BSON type of the value; "" = not examined */
  readonly found: string;
  readonly events: number;
  /** the `_id` of one such event, as mongosh writes it; null = not examined */
  readonly sampleId: string | null;
}

/** The same summed over days of one tenant. */
export interface MalformedPlace extends MalformedField {
  readonly tenant: string;
  readonly days: number;
  readonly lastDay: string;
}

/** The malformed fields of a tenant-day. */
export interface LocatedMalformed {
  readonly fields: readonly MalformedField[];
  /** true = they are stored already, for the same content of the row */
  readonly isStored: boolean;
}

/** Malformed fields by dayKey. */
export type MalformedByDay = ReadonlyMap<string, LocatedMalformed>;

/** The entry of a tenant-day whose malformed events were not examined. */
export function notExamined(events: number): MalformedField {
  return { ...NOT_EXAMINED, found: "", events, sampleId: null };
}

/** Sums malformed fields over the days of each tenant. The sample is of the day with the most such events. */
export function placesOf(
  days: readonly (TenantDay & { readonly fields: readonly MalformedField[] })[],
): MalformedPlace[] {
  const places = new Map<string, MalformedPlace>();
  const most = new Map<string, number>();
  for (const { tenant, date, fields } of days) {
    for (const { field, reason, found, events, sampleId } of fields) {
      const key = [field, reason, tenant].join("\0");
      const before = places.get(key);
      const isMost = events > (most.get(key) ?? 0);
      if (isMost) most.set(key, events);
      const shown = before && !isMost ? before : { found, sampleId };
      places.set(key, {
        tenant,
        field,
        reason,
        found: shown.found,
        sampleId: shown.sampleId,
        events: (before?.events ?? 0) + events,
        days: (before?.days ?? 0) + 1,
        lastDay: before && before.lastDay > date ? before.lastDay : date,
      });
    }
  }
  return [...places.values()];
}
