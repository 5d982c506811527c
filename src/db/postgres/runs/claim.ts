import type { PlannedSpan } from "../../../usage/plan.ts";
import { isSessionGone } from "../session.ts";
import type { RunKind } from "./run.ts";

/** A claim that was not renewed for this long has expired: its process is taken to be dead. */
export const LEASE_SECONDS = 60;

/**
 * Condition: nobody works on the chunk, so it may be claimed. It is pending, or its claim has expired, or the process of its
 * claim is gone. @param chunk the alias of a row of usage_chunk
 */
export const isFree = (chunk: string): string =>
  `(${chunk}.not_before <= clock_timestamp() AND (${chunk}.state = 'pending' OR (${chunk}.state = 'running'
    AND (${chunk}.lease_until < clock_timestamp() OR ${isSessionGone(`${chunk}.claimed_session`)}))))`;

/** A cancelled run stops reading within this time; it stops writing at once. */
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

/** Another process has the claim, or the run was cancelled; nothing of this batch was written. */
export class ClaimLostError extends Error {
  override readonly name = "ClaimLostError";
}

/** Renews a claim until stop(); `lost` aborts when another process has the claim, or the run was cancelled. */
export function startHeartbeat(renew: () => Promise<boolean>): { readonly lost: AbortSignal; stop(): void } {
  const lost = new AbortController();
  const timer = setInterval(() => {
    renew().then(
      (renewed) => {
        if (!renewed) lost.abort(new ClaimLostError("another process has the claim, or the run was cancelled"));
      },
      () => undefined, // the write checks the claim; a lease outlasts several failed renewals
    );
  }, RENEW_MS);
  timer.unref();
  return { lost: lost.signal, stop: () => clearInterval(timer) };
}
