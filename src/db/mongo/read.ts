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

/** The limits of one aggregation, for the driver. */
export function limits(options: ReadOptions): { readonly maxTimeMS: number; readonly signal: AbortSignal } {
  return { maxTimeMS: options.maxTimeMs, signal: withinTime(options) };
}
