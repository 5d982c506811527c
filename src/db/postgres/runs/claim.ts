import type { PlannedSpan } from "../../../usage/plan.ts";
import type { RunKind } from "./run.ts";

/** A process that has not renewed its claim for this long is taken to be dead. */
export const LEASE_SECONDS = 60;

/** A cancel stops reads that are under way within this time; writes it stops at once. */
const RENEW_MS = 4_000;

/** The right of one process to work on one chunk. */
export interface Claim {
  readonly runId: string;
  readonly number: number;
  readonly id: string;
  readonly kind: RunKind;
  readonly spans: readonly PlannedSpan[];
  /** how many of its tenant-days are done */
  readonly cursor: number;
  /** may a final day be replaced although fewer events are left of it? */
  readonly allowShrink: boolean;
  /** the run whose changes are taken back, for an undo */
  readonly undoes: string | null;
}

/** The claim is another's now, or the run was cancelled: nothing of this batch was written. */
export class ClaimLostError extends Error {
  override readonly name = "ClaimLostError";
}

/** Renews a claim until it is stopped; `lost` aborts when the claim is another's or the run was cancelled. */
export function startHeartbeat(renew: () => Promise<boolean>): { readonly lost: AbortSignal; stop(): void } {
  const lost = new AbortController();
  const timer = setInterval(() => {
    renew().then(
      (renewed) => {
        if (!renewed) lost.abort(new ClaimLostError("the claim is another's, or the run was cancelled"));
      },
      () => undefined, // the write decides; a lease outlives many renewals that fail
    );
  }, RENEW_MS);
  timer.unref();
  return { lost: lost.signal, stop: () => clearInterval(timer) };
}
