import type { ChunkProblem, FallenDay, Run } from "../db/postgres/runs/run.ts";
import type { Runs } from "../db/postgres/runs/runs.ts";
import type { MalformedPlace } from "../usage/malformed.ts";
import { findingLines, findingNote } from "./finding-text.ts";
import { malformedTable } from "./malformed-text.ts";
import { blocks, type Lines } from "./lines.ts";
import { arrow, fact, shortTime, table } from "./table.ts";

/** A table of runs. */
export function runsTable(runs: readonly Run[]): Lines {
  if (runs.length === 0) return ["No runs yet. Start one with: tallyman backfill --from DAY --to DAY"];
  return table(
    [
      "run",
      "kind",
      "state",
      "range",
      "tenants",
      "planned",
      "written",
      "unchanged",
      "refused",
      "failed",
      "asked at",
      "note",
    ],
    runs.map((run) => [
      run.id,
      run.inline ? `${run.kind} (inline)` : run.kind,
      run.state,
      `${run.from}..${run.to}`,
      run.tenants === null ? "all" : String(run.tenants.length),
      run.days.planned,
      run.days.written,
      run.days.unchanged,
      run.days.refused,
      run.days.failed,
      shortTime(run.createdAt),
      noteOf(run),
    ]),
  );
}

/** One run, one fact a line. */
export function runText(run: Run): Lines {
  const { days, chunks } = run;
  const lines = [
    `run        ${run.id}`,
    `what       ${whatOf(run)}`,
    `asked      ${shortTime(run.createdAt)} by ${run.requestedBy}${run.reason ? `: ${run.reason}` : ""}`,
    `state      ${run.state}${durationOf(run)}`,
    `chunks     ${chunks.done} of ${chunks.planned} done, ${chunks.failed} failed`,
    `days       ${days.planned} planned: ${days.written} written, ${days.unchanged} unchanged, ${days.stale} stale, ${days.refused} refused, ${days.failed} failed`,
    `events     ${run.sourceEvents.toLocaleString("en")} counted, ${run.malformedEvents.toLocaleString("en")} malformed`,
  ];
  if (run.daysFell > 0) {
    lines.push(
      `fell       ${run.daysFell.toLocaleString("en")} final days have lower tokens or cost than before, and no fewer events`,
    );
  }
  if (run.finding) lines.push(...fact("finding", findingLines(run.finding)));
  if (run.error) lines.push(`error      ${run.error}`);
  return lines;
}

/** What `runs show` lists of a run beside its counts. */
export interface RunDetails {
  readonly problems: readonly ChunkProblem[];
  /** the first 1,000 */
  readonly fallen: readonly FallenDay[];
  /** the first 1,000, the most events first */
  readonly malformed: readonly MalformedPlace[];
}

/** Reads the details of a run. */
export async function detailsOf(runs: Runs, id: string): Promise<RunDetails> {
  const [problems, fallen, malformed] = await Promise.all([
    runs.problems(id),
    runs.fallenDays(id),
    runs.malformedPlaces(id),
  ]);
  return { problems, fallen, malformed };
}

/** A finished run, and what went wrong in it. */
export function endText(run: Run, { problems, fallen, malformed }: RunDetails): Lines {
  return blocks(runText(run), ...problemTables(problems), fallenTable(fallen, run.daysFell), malformedTable(malformed));
}

/** Fallen tenant-days that are shown; --json lists more. */
const SHOWN_FALLEN = 50;

function fallenTable(fallen: readonly FallenDay[], total: number): Lines {
  if (fallen.length === 0) return [];
  const shown = fallen.slice(0, SHOWN_FALLEN);
  const rows = shown.map(({ tenant, date, fell, before, after }) => [
    tenant,
    date,
    fell.join(", "),
    ...(["requests", "tokens", "cost"] as const).map((name) => arrow(before[name], after[name])),
  ]);
  const more = total > shown.length ? [`... and ${total - shown.length} more; --json lists up to 1,000`] : [];
  return [...table(["tenant", "day", "fell in", "requests", "tokens", "cost"], rows), ...more];
}

function noteOf({ daysFell, finding }: Run): string {
  return [daysFell > 0 && `${daysFell} fell`, finding && findingNote(finding)].filter(Boolean).join(", ");
}

function whatOf(run: Run): string {
  const { tenants } = run;
  const who = !tenants ? "all tenants" : tenants.length <= 5 ? tenants.join(", ") : `${tenants.length} tenants`;
  const parts = [`${run.kind}${run.inline ? " (inline)" : ""}`, `${run.from} to ${run.to}`, who];
  if (run.undoes) parts.push(`undoes ${run.undoes}`);
  if (run.allowShrink) parts.push("may shrink final days");
  if (run.priority !== 0) parts.push(run.priority > 0 ? "high priority" : "low priority");
  return parts.join(", ");
}

/** Tables of what went wrong in a run; empty if nothing did. */
function problemTables(problems: readonly ChunkProblem[]): Lines[] {
  const failedChunks = problems.filter(({ error }) => error !== null);
  const failed = problems.flatMap(({ failedDays }) => failedDays);
  const refused = problems.flatMap(({ refusedDays }) => refusedDays);
  return [
    failedChunks.length > 0 &&
      table(
        ["chunk", "state", "error"],
        failedChunks.map(({ number, state, error }) => [String(number), state, error]),
      ),
    failed.length > 0 &&
      table(
        ["tenant", "day", "error"],
        failed.map(({ tenant, date, error }) => [tenant, date, error]),
      ),
    refused.length > 0 &&
      table(
        ["tenant", "day", "refused", "events of the row", "events now"],
        refused.map(({ tenant, date, reason, storedEvents, freshEvents }) => [
          tenant,
          date,
          reason,
          storedEvents,
          freshEvents,
        ]),
      ),
  ].filter((lines) => lines !== false);
}

function durationOf({ startedAt, finishedAt }: Run): string {
  if (startedAt === null || finishedAt === null) return "";
  return ` in ${((Date.parse(finishedAt) - Date.parse(startedAt)) / 1_000).toFixed(1)} s`;
}
