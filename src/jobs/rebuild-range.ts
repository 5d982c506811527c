import { z } from "zod";
import { earlierDay, laterDay } from "../usage/day.ts";
import { planChunks, type TenantDays } from "../usage/plan.ts";
import { defineJob, PAYLOAD_VERSION } from "./job.ts";

/**
 * Plans a run: finds its tenants and the days on which each has events or rows, cuts them into chunks, and starts the
 * run with all of them in one transaction. The last chunk finishes it.
 */
export const rebuildRange = defineJob({
  name: "rebuild-range",
  payload: z.strictObject({ v: z.literal(PAYLOAD_VERSION), runId: z.uuid() }),
  timeoutMs: 30 * 60_000,
  id: ({ runId }) => `rebuild-range|${runId}`,
  async run({ runId }, { runs, tenants, dispatch, log, signal }) {
    const run = await runs.get(runId);
    if (run?.state !== "planned") return { planned: false };
    const names = run.tenants ?? (await tenants.listAll(signal));
    const known = await tenants.learnSpans(names, run, signal);
    const spans: TenantDays[] = known
      .map(({ tenant, first, last }) => ({ tenant, from: laterDay(run.from, first), to: earlierDay(run.to, last) }))
      .filter(({ from, to }) => from <= to);
    const chunks = planChunks(spans);
    const planned = await runs.plan(runId, chunks);
    if (planned) log.info({ runId, tenants: spans.length, chunks: chunks.length }, "run planned");
    await runs.finish(runId); // a run without a chunk has nothing else that would
    await dispatch();
    return { planned, tenants: spans.length, chunks: chunks.length };
  },
});
