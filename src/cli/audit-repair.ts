import { randomUUID } from "node:crypto";
import type { AuditReport, AuditRequest } from "../audit/audit.ts";
import type { AuditContext, Drift } from "../audit/check.ts";
import type { RunRequest } from "../db/postgres/runs/request.ts";
import type { RefusedDay, Run } from "../db/postgres/runs/run.ts";
import { planChunks } from "../usage/plan.ts";
import { joinTenantDays } from "../usage/spans.ts";
import type { CommandContext } from "./command.ts";
import { runUnderBar } from "./run-here.ts";

/** What became of the drift that an audit found. */
export interface Repair {
  readonly run: Run;
  /** tenant-days of which fewer events are left than the row has counted; they are never made smaller unasked */
  readonly refused: readonly RefusedDay[];
  /** what still differs after it */
  readonly remaining: readonly Drift[];
  /** tenant-days of drift past those that an audit lists: ask again */
  readonly left: number;
}

/**
 * Rebuilds the tenant-days of an audit's drift in this process, whatever their rows say of themselves, and looks at
 * them again. @returns null where there is nothing to repair
 */
export async function repair(
  { id, days, drift }: AuditReport,
  { deep, requestedBy }: AuditRequest,
  context: AuditContext,
  command: CommandContext,
): Promise<Repair | null> {
  const { services, signal } = command;
  const dates = drift.map(({ date }) => date).sort();
  const [from, to] = [dates[0], dates.at(-1)];
  if (id === undefined || from === undefined || to === undefined) return null;
  const tenants = [...new Set(drift.map(({ tenant }) => tenant))];
  const reason = `audit ${id}`; // its own tenant-days, no other repair's
  const runId = randomUUID();
  const request: RunRequest = { id: runId, kind: "repair", from, to, tenants, requestedBy, reason, dedupeBy: reason };
  const { auditAgain } = await import("../audit/audit.ts");
  await context.tenants.learnSpans(tenants, { from, to }, signal); // rows are written of known tenants alone
  await context.audits.recordRepair(id, runId);
  const run = await runUnderBar(command, request, planChunks(joinTenantDays(drift)));
  const refused = (await (await services.runs()).problems(run.id)).flatMap(({ refusedDays }) => refusedDays);
  const remaining = await auditAgain(drift, context, deep);
  return { run, refused, remaining, left: days.drifted + days.missing - drift.length };
}
