import type { Run } from "../db/postgres/run.ts";
import { shortTime, table } from "./table.ts";

/** Runs, one a line. */
export function runsTable(runs: readonly Run[]): string {
  if (runs.length === 0) return "No runs yet. Ask for one with: tallyman backfill --from DAY --to DAY";
  return table(
    ["run", "kind", "state", "range", "tenants", "planned", "written", "unchanged", "failed", "asked at"],
    runs.map((run) => [
      run.id,
      run.inline ? `${run.kind} (inline)` : run.kind,
      run.state,
      `${run.from}..${run.to}`,
      run.tenants === null ? "all" : String(run.tenants.length),
      run.days.planned,
      run.days.written,
      run.days.unchanged,
      run.days.failed,
      shortTime(run.createdAt),
    ]),
  );
}

/** One run, a fact a line. */
export function runText(run: Run): string {
  const { days, chunks } = run;
  const lines = [
    `run        ${run.id}`,
    `what       ${run.kind}${run.inline ? " (inline)" : ""}, ${run.from} to ${run.to}, ${run.tenants ? run.tenants.join(", ") : "all tenants"}`,
    `asked      ${shortTime(run.createdAt)} by ${run.requestedBy}${run.reason ? `: ${run.reason}` : ""}`,
    `state      ${run.state}${durationOf(run)}`,
    `chunks     ${chunks.done} of ${chunks.planned} done, ${chunks.failed} failed`,
    `days       ${days.planned} planned: ${days.written} written, ${days.unchanged} unchanged, ${days.stale} stale, ${days.refused} refused, ${days.failed} failed`,
    `events     ${run.sourceEvents.toLocaleString("en")} counted, ${run.malformedEvents.toLocaleString("en")} malformed`,
  ];
  if (run.error) lines.push(`error      ${run.error}`);
  return lines.join("\n");
}

function durationOf({ startedAt, finishedAt }: Run): string {
  if (startedAt === null || finishedAt === null) return "";
  return ` in ${((Date.parse(finishedAt) - Date.parse(startedAt)) / 1_000).toFixed(1)} s`;
}
