import type { Command } from "commander";
import type { RunRequest } from "../db/postgres/runs/request.ts";
import { UsageError } from "../errors.ts";
import { planChunks } from "../usage/plan.ts";
import { joinTenantDays } from "../usage/spans.ts";
import { action, createCommand, defaultRequester, parseRunId } from "./command.ts";
import { runHere } from "./run-here.ts";
import { findRun } from "./watch.ts";

/** `runs undo`: takes back what a run did, in this process, without Redis. */
export function undoCommand(): Command {
  return createCommand(
    "undo",
    "Put back the rows that a run replaced and remove those it created; rows changed since are left alone.",
    'tallyman runs undo 5f0c4e1a-7c1e-4def-8123-456789abcdef --reason "wrong tenant"',
  )
    .argument("<id>", "the run's id", parseRunId)
    .option("--reason <text>", "why, for the run's record")
    .option("--by <name>", "who asks, for the run's record (default: user@host)")
    .action((id: string, given: { json?: true; reason?: string; by?: string }) =>
      action<typeof given>(async ({ reason, by }, context) => {
        const { services } = context;
        const { isOfOtherSettings, undoableDays } = await import("../db/postgres/cache/undo.ts");
        const runs = await services.runs();
        const target = await findRun(runs, id);
        if (target.state === "planned" || target.state === "running") {
          throw new UsageError(`Run ${id} is ${target.state}. Cancel it first: tallyman runs cancel ${id}`);
        }
        const days = await undoableDays(await services.pool(), id);
        const [first] = days;
        if (!first) throw new UsageError(whyNothing(id, target.kind));
        if (await isOfOtherSettings(await services.pool(), id)) {
          throw new UsageError(
            `Run ${id} replaced rows of other settings than those in force, which must not come back. A backfill makes its days anew.`,
          );
        }
        const dates = days.map(({ date }) => date).sort();
        const request: RunRequest = {
          kind: "undo",
          from: dates[0] ?? first.date,
          to: dates.at(-1) ?? first.date,
          tenants: [...new Set(days.map(({ tenant }) => tenant))],
          reason: reason ?? `undo of ${id}`,
          requestedBy: by ?? defaultRequester(),
          undoes: id,
          dedupeBy: id,
        };
        return runHere(context, request, planChunks(joinTenantDays(days)));
      })(given),
    );
}

function whyNothing(id: string, kind: string): string {
  if (kind === "nightly" || kind === "refresh") {
    return `Run ${id} is a ${kind} run, which only follows the events: there is nothing to put back. A backfill makes such days anew.`;
  }
  return `Nothing of run ${id} can be undone: it changed no row, or it is older than UNDO_RETENTION_DAYS.`;
}
