import { randomUUID } from "node:crypto";
import type { Run } from "../../../src/db/postgres/runs/run.ts";
import type { RunRequest } from "../../../src/db/postgres/runs/request.ts";
import { runInline } from "../../../src/execution/inline.ts";
import { aggregateDays } from "../../../src/jobs/aggregate-days.ts";
import type { JobContext } from "../../../src/task/context.ts";
import { PAYLOAD_VERSION } from "../../../src/task/payload.ts";
import { planRun } from "../../../src/jobs/plan-run.ts";
import type { Services } from "../../../src/services.ts";
import type { World } from "../../support/world.ts";
import { jobContext } from "../../support/job-context.ts";

export type Wish = Pick<RunRequest, "from" | "to"> & Partial<RunRequest>;

const whole = (wish: Wish): RunRequest => ({ kind: "backfill", requestedBy: "test", dedupeBy: randomUUID(), ...wish });

/** Does a run of any kind in this process. */
export function doRun(services: Services, wish: Wish): Promise<Run> {
  const request = { ...whole(wish), inline: true };
  return runInline(services, request, new AbortController().signal, () => undefined);
}

/** Plans a run whose work is one chunk, and answers its id. */
export async function plannedRun(services: Services, wish: Wish): Promise<string> {
  const runs = await services.runs();
  const { id } = await runs.create(whole(wish));
  await planRun.run({ v: PAYLOAD_VERSION, runId: id }, await jobContext(services));
  const run = await runs.get(id);
  if (run?.chunks.planned !== 1) throw new Error(`${run?.chunks.planned} chunks were planned, not one`);
  return id;
}

/** Works on the chunk of such a run. */
export const workOn = (runId: string, context: JobContext) =>
  aggregateDays.run({ v: PAYLOAD_VERSION, runId, chunk: 0 }, context);

/** The changes that consumers read, in order. */
export async function changesIn({ pool }: World): Promise<Record<string, unknown>[]> {
  return (await pool.query<Record<string, unknown>>("SELECT * FROM usage_change ORDER BY id")).rows;
}

/** The list of what has to be rebuilt. */
export async function dirtyDays({ pool }: World): Promise<{ tenant_id: string; date: string; waits: boolean }[]> {
  const { rows } = await pool.query<{ tenant_id: string; date: string; waits: boolean }>(
    "SELECT tenant_id, date::text, not_before > clock_timestamp() AS waits FROM usage_dirty ORDER BY 1, 2",
  );
  return rows;
}
