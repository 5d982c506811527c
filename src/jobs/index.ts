import { aggregateDays } from "./aggregate-days.ts";
import { auditSample } from "./audit-sample.ts";
import { ensureIndexes } from "./ensure-indexes.ts";
import { followArrivals } from "./follow-arrivals.ts";
import { planRun } from "./plan-run.ts";
import { reportIndexUsage } from "./report-index-usage.ts";
import { restoreRows } from "./restore-rows.ts";
import { trimHistory } from "./trim-history.ts";
import type { ChunkKind } from "../db/postgres/runs/run.ts";
import type { Job } from "../task/job.ts";

/** All jobs. */
export const JOBS: readonly Job[] = [
  aggregateDays,
  auditSample,
  ensureIndexes,
  followArrivals,
  planRun,
  reportIndexUsage,
  restoreRows,
  trimHistory,
];

/** The job that works on a chunk of each kind. */
export const CHUNK_JOBS = { rebuild: aggregateDays, undo: restoreRows } as const satisfies Record<ChunkKind, Job>;
