import type { Abortable, AggregateOptions } from "mongodb";
import type { FieldMap } from "../../usage/event.ts";
import { tenantDateIndex } from "./pipeline.ts";

/** MaxTimeMSExpired */
export const TIMED_OUT = 50;

/** A server that is silent for so much longer than the limit it was given hangs; waiting on would hold a permit. */
const SILENCE_MS = 30_000;

/** How one aggregation is run. */
export interface ReadOptions {
  /** the server gives up after this long; an abort of `signal` kills the operation at once */
  readonly maxTimeMs: number;
  readonly signal: AbortSignal;
  /** about how many events the day has, where that is known to be many */
  readonly expected?: number | undefined;
}

/** Aborts with the signal, and where the server does not even say that its time is up. */
export function withinTime({ maxTimeMs, signal }: Pick<ReadOptions, "maxTimeMs" | "signal">): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(maxTimeMs + SILENCE_MS)]);
}

/**
 * What every aggregation over events has in common: the tenant/date index, what a majority has written, an end.
 * Numbers come as BSON's own, since the type of a sum is part of its proof.
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
