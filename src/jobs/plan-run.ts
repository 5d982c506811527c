import { isLostForWrites } from "../errors.ts";
import { laterDay, type Day } from "../usage/day.ts";
import { horizonDay } from "../usage/horizon.ts";
import { planChunks } from "../usage/plan.ts";
import { clipSpans } from "../usage/spans.ts";
import { needsOperator, type Finding } from "../usage/finding.ts";
import type { DayRange, TenantSpan } from "../usage/tenant-day.ts";
import type { Run } from "../db/postgres/runs/run.ts";
import { allBeforeHorizon, explainNothing, findAbsentFields } from "../rebuild/explain-nothing.ts";
import type { ContextOf } from "../task/context.ts";
import { defineJob } from "../task/job.ts";
import { runPayload } from "../task/payload.ts";
import { isShutdown } from "../task/time-limit.ts";

const NEEDS = [
  "dispatch",
  "invisible",
  "requireIndexes",
  "retention",
  "runs",
  "settings",
  "stamp",
  "tenants",
  "today",
] as const;
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
  const known = await tenants.learnSpans(names, range, signal);
  const spans = clipSpans(known, range);
  const chunks = planChunks(spans, await tenants.expectedEvents(spans));
  const finding = await findingOf(run, range, { known, isEmpty: chunks.length === 0 }, context);
  const planned = await runs.plan(run.id, chunks, finding);
  if (planned) log.info({ runId: run.id, tenants: spans.length, chunks: chunks.length }, "run planned");
  if (planned && finding) {
    const level = needsOperator(finding) || finding.kind === "fieldAbsent" ? "warn" : "info";
    log[level]({ runId: run.id, finding }, "the run has a finding about its events: tallyman runs show explains it");
  }
  return { planned, tenants: spans.length, chunks: chunks.length };
}

/** Why the run has no tenant-day, or which fields no event has. */
async function findingOf(
  run: Run,
  range: DayRange,
  { known, isEmpty }: { readonly known: readonly TenantSpan[]; readonly isEmpty: boolean },
  context: PlanContext,
): Promise<Finding | undefined> {
  if (!isEmpty) return findAbsentFields(context);
  if (range.from > range.to) return allBeforeHorizon(context.invisible);
  return explainNothing({ tenants: run.tenants ?? undefined, known }, context);
}

/** A nightly run leaves out days that may have lost events; other runs were asked for these days, and refuse them. */
async function firstDayToPlan(run: Run, { stamp, retention, settings }: PlanContext): Promise<Day> {
  if (run.kind !== "nightly") return run.from;
  const kept = await retention();
  return laterDay(run.from, horizonDay(await stamp(), kept, settings.timeZone) ?? run.from);
}
