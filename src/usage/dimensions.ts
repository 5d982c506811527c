import type { EventField } from "./event.ts";

interface Dimension {
  /** name of its key in a group and in the raw rows */
  readonly name: string;
  /** the short name in the pipeline */
  readonly key: string;
  /** the event's field */
  readonly field: EventField;
  /** the document's column in the cache */
  readonly column: string;
  /** true = keys may be ids of other types than text: ObjectIds, UUIDs, integers */
  readonly isId?: boolean;
}

/** What a day is broken down by. The pipelines, the fold, the documents, the hash and the cache derive from this list. */
export const DIMENSIONS = [
  { name: "user", key: "u", field: "user_id", column: "aggregated_by_user", isId: true },
  { name: "model", key: "m", field: "model", column: "aggregated_by_model" },
  { name: "provider", key: "p", field: "provider", column: "aggregated_by_provider" },
] as const satisfies readonly Dimension[];

export type DimensionName = (typeof DIMENSIONS)[number]["name"];

export const DIMENSION_NAMES: readonly DimensionName[] = DIMENSIONS.map(({ name }) => name);

/** One key of each dimension. */
export type Keys = Readonly<Record<DimensionName, string>>;

/** One value for each dimension. */
export function byDimension<T>(make: (name: DimensionName) => T): Record<DimensionName, T> {
  return Object.fromEntries(DIMENSION_NAMES.map((name) => [name, make(name)])) as Record<DimensionName, T>;
}
