/**
 * What a day is broken down by. The pipeline, the fold, the documents and the upsert derive from this list: `key` is
 * the short name in the pipeline, `field` the event's field, `column` the document's column in the cache.
 */
export const DIMENSIONS = [
  { name: "user", key: "u", field: "user_id", column: "aggregated_by_user" },
  { name: "model", key: "m", field: "model", column: "aggregated_by_model" },
  { name: "provider", key: "p", field: "provider", column: "aggregated_by_provider" },
] as const satisfies readonly Dimension[];

interface Dimension {
  readonly name: string;
  readonly key: string;
  readonly field: string;
  readonly column: string;
}

export type DimensionName = (typeof DIMENSIONS)[number]["name"];

/** One key of each dimension. */
export type Keys = Readonly<Record<DimensionName, string>>;
