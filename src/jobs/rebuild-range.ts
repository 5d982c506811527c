import { z } from "zod";
import { earlierDay, laterDay } from "../usage/day.ts";
import { planChunks, type TenantDays } from "../usage/plan.ts";
import type { Run } from "../db/postgres/runs.ts";
import { defineJob, isShutdown, PAYLOAD_VERSION, type JobContext } from "./job.ts";

/**
 * Plans a run: finds its tenants and the days on which each has events or rows, cuts them into chunks, and starts the
 * run with all of them in one transaction. The last chunk finishes it.
 */
export const rebuildRange = defineJob({
  name: "rebuild-range",
  payload: z.strictObject({ v: z.literal(PAYLOAD_VERSION), runId: z.uuid() }),
  timeoutMs: 30 * 60_000,
  id: ({ runId }) => `rebuild-range|${runId}`,
  async run({ runId }, context) {
    const { runs, dispatch, signal } = context;
    const run = await runs.get(runId);
    if (!run || !(await runs.isPlannable(runId))) return { planned: false };
    try {
      const planned = await plan(run, context);
      await runs.finish(runId); // a run without a chunk has nothing else that would
      await dispatch();
      return planned;
    } catch (error) {
      if (!isShutdown(signal)) await runs.planFailed(runId, (error as Error).message);
      throw error;
    }
  },
});

async function plan(run: Run, { runs, tenants, log, signal }: JobContext) {
  const names = run.tenants ?? (await tenants.listAll(signal));
  const known = await tenants.learnSpans(names, run, signal);
  const spans: TenantDays[] = known
    .map(({ tenant, first, last }) => ({ tenant, from: laterDay(run.from, first), to: earlierDay(run.to, last) }))
    .filter(({ from, to }) => from <= to);
  const chunks = planChunks(spans);
  const planned = await runs.plan(run.id, chunks);
  if (planned) log.info({ runId: run.id, tenants: spans.length, chunks: chunks.length }, "run planned");
  return { planned, tenants: spans.length, chunks: chunks.length };
}
