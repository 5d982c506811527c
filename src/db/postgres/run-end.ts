import type { Day } from "../../usage/day.ts";
import type { Connection } from "./pool.ts";
import type { RunKind, RunState } from "./runs.ts";

/** A run in the transaction that ends it. */
export interface EndedRun {
  readonly id: string;
  readonly kind: RunKind;
  readonly from: Day;
  readonly to: Day;
  readonly state: RunState;
}

/** What the end of a run means for others, in the transaction that ends it. */
export async function endRun(_connection: Connection, _run: EndedRun): Promise<void> {
  await Promise.resolve();
}
