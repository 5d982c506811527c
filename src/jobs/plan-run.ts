import { isLostForWrites } from "../errors.ts";
import { laterDay, type Day } from "../usage/day.ts";
import { horizonDay } from "../usage/horizon.ts";
import { planChunks } from "../usage/plan.ts";
import { clipSpans } from "../usage/spans.ts";
import type { Run } from "../db/postgres/runs/run.ts";
import type { ContextOf } from "../task/context.ts";
import { defineJob } from "../task/job.ts";
import { runPayload } from "../task/payload.ts";
import { isShutdown } from "../task/time-limit.ts";

const NEEDS = ["dispatch", "requireIndexes", "retention", "runs", "settings", "stamp", "tenants"] as const;
type PlanContext = ContextOf<(typeof NEEDS)[number]>;

/**
 * Plans a run: finds its tenants and the days on which each has events or rows, cuts them into chunks, and starts the
 * run with all of them in one transaction. The last chunk finishes it.
 */
export const planRun = defineJob({
  name: "plan-run",
  formerNames: ["rebuild-range"],
  payload: runPayload,
  needs: NEEDS,
  timeoutMs: 30 * 60_000,
  id: ({ runId }) => `rebuild-range|${runId}`, // of the former name, so that versions side by side plan a run once
  async run({ runId }, context) {
    const { runs, dispatch, signal } = context;
    const run = await runs.get(runId);
    if (!run || !(await runs.isPlannable(runId))) return { planned: false };
    try {
      const planned = await plan(run, context);
      await runs.finish(runId); // a run without chunks has no chunk that would finish it
      await dispatch();
      return planned;
    } catch (error) {
      if (!isShutdown(signal)) await runs.planFailed(runId, (error as Error).message, !isLostForWrites(error));
      throw error;
    }
  },
});

async function plan(run: Run, context: PlanContext) {
  const { runs, tenants, log, signal } = context;
  await context.requireIndexes();
  const range = { from: await firstDayToPlan(run, context), to: run.to };
  const names = range.from > range.to ? [] : (run.tenants ?? (await tenants.listAll(signal)));
  const spans = clipSpans(await tenants.learnSpans(names, range, signal), range);
  const chunks = planChunks(spans, await tenants.expectedEvents(spans));
  const planned = await runs.plan(run.id, chunks);
  if (planned) log.info({ runId: run.id, tenants: spans.length, chunks: chunks.length }, "run planned");
  return { planned, tenants: spans.length, chunks: chunks.length };
}

/** A nightly run leaves out days that may have lost events; other runs were asked for these days, and refuse them. */
async function firstDayToPlan(run: Run, { stamp, retention, settings }: PlanContext): Promise<Day> {
  if (run.kind !== "nightly") return run.from;
  const kept = await retention();
  return laterDay(run.from, horizonDay(await stamp(), kept, settings.timeZone) ?? run.from);
}
