import type { Abortable, AggregateOptions } from "mongodb";
import type { FieldMap } from "../../usage/event.ts";
import { tenantDateIndex } from "./pipeline.ts";

/** MaxTimeMSExpired */
export const TIMED_OUT = 50;

/** A server that stays silent for so much longer than its limit hangs; waiting longer would hold a permit. */
const SILENCE_MS = 30_000;

/** Options of one aggregation. */
export interface ReadOptions {
  /** the server gives up after this long; an abort of `signal` kills the operation at once */
  readonly maxTimeMs: number;
  readonly signal: AbortSignal;
  /** the approximate number of events of the day, if it is known to be large */
  readonly expected?: number | undefined;
  /** called after each aggregation, of which a large day takes many */
  readonly onRead?: (() => void) | undefined;
}

/** Aborts with the signal, or if the server does not even report that its time is up. */
export function withinTime({ maxTimeMs, signal }: Pick<ReadOptions, "maxTimeMs" | "signal">): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(maxTimeMs + SILENCE_MS)]);
}

/**
 * Options that every aggregation over events has: the tenant/date index, read concern majority, a time limit. Numbers
 * come as BSON types, since the type of a sum is part of its proof.
 */
export function aggregation(
  fields: FieldMap,
  options: ReadOptions,
  comment = "tallyman",
): AggregateOptions & Abortable {
  return {
    hint: tenantDateIndex(fields),
    maxTimeMS: options.maxTimeMs,
    promoteValues: false,
    readPreference: "primary",
    readConcern: { level: "majority" },
    comment,
    signal: withinTime(options),
  };
}
