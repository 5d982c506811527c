import { aggregateDays } from "./aggregate-days.ts";
import { ensureIndexes } from "./ensure-indexes.ts";
import { rebuildRange } from "./rebuild-range.ts";
import type { Job } from "./job.ts";

/** Everything that the system does. */
export const JOBS: readonly Job[] = [aggregateDays, ensureIndexes, rebuildRange];
