import type { DayState } from "../../../usage/classify.ts";
import type { Whole } from "../../../usage/decimal.ts";
import type { Documents } from "../../../usage/document.ts";
import type { Measures } from "../../../usage/measures.ts";
import type { Stamp } from "../../../usage/stamp.ts";
import type { TenantDay } from "../../../usage/tenant-day.ts";

/** One tenant-day, ready to be stored. */
export interface CacheRow extends TenantDay {
  readonly documents: Documents;
  readonly totals: Measures;
  readonly malformed: Whole;
  readonly readAt: Stamp;
  readonly state: DayState;
  /** true = events may have been deleted before the read, so the row must not be stored */
  readonly isBeforeHorizon: boolean;
}
