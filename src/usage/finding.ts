import type { EventField } from "./event.ts";
import type { InvisibleReason } from "./invisible.ts";
import type { DayRange } from "./tenant-day.ts";

/** Sampled events that no rebuild can see, for one reason. */
export interface InvisibleSample {
  readonly reason: InvisibleReason;
  readonly events: number;
  /** the BSON type of the field that is at fault, in one of these events */
  readonly found: string;
  /** the `_id` of that event, as mongosh writes it */
  readonly sampleId: string;
}

/** A field of ours, and its name in the source. */
export interface SourceField {
  readonly field: EventField;
  readonly path: string;
}

/** A look at some events of the collection. */
export interface EventSample {
  readonly events: number;
  readonly invisible: readonly InvisibleSample[];
  /** fields that none of these events has */
  readonly absent: readonly SourceField[];
}

/**
 * - `emptyCollection`: the collection has no event.
 * - `invisible`: there are events that no rebuild can see.
 * - `otherDays`: there are events, but none of these tenants on these days.
 * - `beforeHorizon`: the events of all these days may be deleted already, so a nightly rebuild leaves them out.
 * - `fieldAbsent`: days were found, but no sampled event has a field that EVENTS_FIELDS names.
 * - `notSampled`: no tenant-day was found, and the server did not answer in time why.
 */
export type FindingKind =
  "emptyCollection" | "invisible" | "otherDays" | "beforeHorizon" | "fieldAbsent" | "notSampled";

/** Why a rebuild, a dry run or an audit found no tenant-day, or what else an operator has to know about its events. */
export interface Finding {
  readonly kind: FindingKind;
  readonly collection: string;
  /** events in the sample: the newest by `_id`, or those of the tenants asked for; null = none was taken */
  readonly sampled: number | null;
  readonly invisible: readonly InvisibleSample[];
  readonly absent: readonly SourceField[];
  /** names of fields that sampled events have, given where a field is absent */
  readonly present: readonly string[];
  /** the days between which the tenants asked for have events or rows; null = they have none */
  readonly days: DayRange | null;
  /** why there is no sample */
  readonly error: string | null;
}

/** Judges a sample that was taken because no tenant-day was found. */
export function kindOf(sample: EventSample): FindingKind {
  if (sample.events === 0) return "emptyCollection";
  return sample.invisible.length > 0 ? "invisible" : "otherDays";
}

/**
 * Does the finding mean that events exist which the work should have seen, or may mean so? Then a command exits with 2.
 * An empty collection and a quiet range are no fault.
 */
export function needsOperator(finding: Finding | null): boolean {
  return finding?.kind === "invisible" || finding?.kind === "notSampled";
}
