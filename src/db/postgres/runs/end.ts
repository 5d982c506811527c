import type { Day } from "../../../usage/day.ts";
import { growComputed } from "../computed.ts";
import type { Connection } from "../pool.ts";
import { moveNightly } from "../watermarks.ts";
import type { RunKind, RunState } from "./run.ts";

/** A run in the transaction that ends it. */
export interface EndedRun {
  readonly id: string;
  readonly kind: RunKind;
  readonly to: Day;
  readonly state: RunState;
  /** false = the run was never planned, so it has read nothing */
  readonly wasPlanned: boolean;
}

/**
 * Applies the end of a run to others, in the transaction that ends it: moves the watermark of the nightly rebuild, and
 * adds what the run has read to the tenants' computed ranges.
 */
export async function endRun(connection: Connection, { id, kind, to, state, wasPlanned }: EndedRun): Promise<void> {
  if (kind === "nightly" && state !== "cancelled" && wasPlanned) await moveNightly(connection, to);
  await growComputed(connection, id);
}
