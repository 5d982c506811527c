import type { Assumption } from "./assumption.ts";
import { COLLATIONS } from "./assumptions/collations.ts";
import { COLLECTIONS } from "./assumptions/collections.ts";
import { COMPARISON } from "./assumptions/comparison.ts";
import { CONVERSIONS } from "./assumptions/conversions.ts";
import { HINTS } from "./assumptions/hints.ts";
import { INDEX_BUILDS } from "./assumptions/index-builds.ts";
import { INDEX_DEFINITIONS } from "./assumptions/index-definitions.ts";
import { MATCHING } from "./assumptions/matching.ts";
import { PLANS } from "./assumptions/plans.ts";
import { READS } from "./assumptions/reads.ts";
import { SUMS } from "./assumptions/sums.ts";

/** A heading of docs/mongodb.md, with its rows. */
export interface Theme {
  readonly title: string;
  readonly rows: readonly Assumption[];
}

/** All that Tallyman takes for granted of MongoDB. */
export const THEMES: readonly Theme[] = [
  { title: "The order of values", rows: COMPARISON },
  { title: "Sums and groups", rows: SUMS },
  { title: "Conversions and expressions", rows: CONVERSIONS },
  { title: "What a filter finds", rows: MATCHING },
  { title: "Hints and bounds", rows: HINTS },
  { title: "Collations", rows: COLLATIONS },
  { title: "Reads and their limits", rows: READS },
  { title: "Collections and retention", rows: COLLECTIONS },
  { title: "Definitions of indexes", rows: INDEX_DEFINITIONS },
  { title: "Builds and figures of indexes", rows: INDEX_BUILDS },
  { title: "Plans", rows: PLANS },
];

export const ASSUMPTIONS: readonly Assumption[] = THEMES.flatMap(({ rows }) => rows);
