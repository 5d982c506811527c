import type { Day } from "../../../usage/day.ts";
import type { Finding } from "../../../usage/finding.ts";
import type { MeasureName, MeasureTexts } from "../../../usage/measures.ts";
import type { TenantDay } from "../../../usage/tenant-day.ts";
import type { QueueName } from "../session.ts";

export type RunKind = "nightly" | "backfill" | "refresh" | "repair" | "undo";
export type RunState = "planned" | "running" | "done" | "failed" | "cancelled";

export type Priority = -1 | 0 | 1;

/** A run as `runs show` prints it; counts are live while it runs. */
export interface Run {
  readonly id: string;
  readonly kind: RunKind;
  readonly inline: boolean;
  readonly reason: string | null;
  readonly requestedBy: string;
  readonly tenants: readonly string[] | null;
  readonly from: Day;
  readonly to: Day;
  readonly allowShrink: boolean;
  readonly priority: Priority;
  readonly undoes: string | null;
  readonly cancelledBy: string | null;
  readonly state: RunState;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  readonly chunks: { readonly planned: number; readonly done: number; readonly failed: number };
  readonly days: {
    readonly planned: number;
    readonly written: number;
    readonly unchanged: number;
    readonly stale: number;
    readonly refused: number;
    readonly failed: number;
  };
  readonly sourceEvents: number;
  readonly malformedEvents: number;
  /** final tenant-days whose tokens or cost fell although their number of events did not; they are among the written ones */
  readonly daysFell: number;
  /** why it has no tenant-day, or which fields no event has; null = nothing to report */
  readonly finding: Finding | null;
  readonly error: string | null;
}

/** A final tenant-day that was written although its tokens or cost fell: its number of events did not. */
export interface FallenDay extends TenantDay {
  /** the measures that fell */
  readonly fell: readonly MeasureName[];
  readonly before: MeasureTexts;
  readonly after: MeasureTexts;
}

/** A chunk in which something went wrong. */
export interface ChunkProblem {
  readonly number: number;
  readonly state: string;
  readonly error: string | null;
  readonly failedDays: readonly FailedDay[];
  readonly refusedDays: readonly RefusedDay[];
}

/** A tenant-day that could not be computed, and why. */
export interface FailedDay {
  readonly tenant: string;
  readonly date: Day;
  readonly error: string;
}

/** A tenant-day whose row was left unchanged, and why, with both counts of events (null = no row, or not read). */
export interface RefusedDay {
  readonly tenant: string;
  readonly date: Day;
  readonly reason: "before the horizon" | "fewer events" | "changed since" | "kept row erased";
  readonly storedEvents: number | null;
  readonly freshEvents: number | null;
}

/** The work of a chunk: rebuild days, or restore their rows for an undo. */
export type ChunkKind = "rebuild" | "undo";

export function chunkKindOf(kind: RunKind): ChunkKind {
  return kind === "undo" ? "undo" : "rebuild";
}

/** chunkKindOf() in SQL. @param run the alias of a row of usage_run */
export const chunkKindOfRun = (run: string): string => `CASE WHEN ${run}.kind = 'undo' THEN 'undo' ELSE 'rebuild' END`;

/** The nightly rebuild and the refresh go first, in a queue of their own. */
export function queueOf(kind: RunKind): QueueName {
  return kind === "nightly" || kind === "refresh" ? "fresh" : "bulk";
}

/** queueOf() in SQL. @param run the alias of a row of usage_run */
export const queueOfRun = (run: string): string =>
  `CASE WHEN ${run}.kind IN ('nightly', 'refresh') THEN 'fresh' ELSE 'bulk' END`;
