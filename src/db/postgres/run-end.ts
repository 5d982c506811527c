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

/** The last day through which a nightly rebuild has ended; undefined = none ever did. */
export async function nightlyThrough(connection: Connection): Promise<Day | undefined> {
  const { rows } = await connection.query<{ through: Day }>(
    "SELECT value ->> 'through' AS through FROM usage_meta WHERE name = 'nightly'",
  );
  return rows[0]?.through;
}

/** What the end of a run means for others, in the transaction that ends it. */
export async function endRun(_connection: Connection, _run: EndedRun): Promise<void> {
  await Promise.resolve();
}
