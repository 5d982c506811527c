import { DIMENSIONS } from "../../../usage/dimensions.ts";
import { MEASURES, measureText } from "../../../usage/measures.ts";
import { jsonbArray } from "./binary-array.ts";
import type { CacheRow } from "./cache-row.ts";
import type { TenantDay } from "../../../usage/tenant-day.ts";

/** A column of daily_usage_cache: its name, SQL type and value for a row. */
export interface Column<Row> {
  readonly name: string;
  readonly type: "text" | "date" | "jsonb" | "bigint" | "numeric" | "bytea" | "timestamptz";
  readonly value: (row: Row) => string | Buffer;
}

type Computed<Part extends keyof CacheRow> = Column<Pick<CacheRow, Part>>;

const KEY_COLUMNS: readonly Column<TenantDay>[] = [
  { name: "tenant_id", type: "text", value: ({ tenant }) => tenant },
  { name: "date", type: "date", value: ({ date }) => date },
];

const DOCUMENT_COLUMNS: readonly Computed<"documents">[] = [
  { name: "raw_data", type: "jsonb", value: ({ documents }) => documents.raw },
  ...DIMENSIONS.map(({ name, column }): Computed<"documents"> => ({
    name: column,
    type: "jsonb",
    value: ({ documents }) => documents.folded[name],
  })),
];

/** The total of each measure. */
export const TOTAL_COLUMNS: readonly Computed<"totals">[] = MEASURES.map(({ name, column, kind }) => ({
  name: column,
  type: kind === "cost" ? "numeric" : "bigint",
  value: ({ totals }) => measureText(totals, name),
}));

const HASH_COLUMN: Computed<"documents"> = {
  name: "content_hash",
  type: "bytea",
  value: ({ documents }) => documents.contentHash,
};

const EVENT_COLUMNS: readonly Computed<"totals" | "malformed">[] = [
  { name: "source_events", type: "bigint", value: ({ totals }) => `${totals.requests}` },
  { name: "malformed_events", type: "bigint", value: ({ malformed }) => `${malformed}` },
];

/** The columns that a later read updates although the content is unchanged. */
export const MOVING_COLUMNS: readonly Computed<"state" | "readAt">[] = [
  { name: "state", type: "text", value: ({ state }) => state },
  { name: "read_at", type: "timestamptz", value: ({ readAt }) => readAt },
];

/** The columns that the events alone determine, the totals first. */
export const AUDITED_COLUMNS: readonly Computed<"documents" | "totals" | "malformed">[] = [
  ...TOTAL_COLUMNS,
  ...DOCUMENT_COLUMNS,
  ...EVENT_COLUMNS,
  HASH_COLUMN,
];

/** The columns that a rebuild computes, without the key; the write itself sets `cached_at` and `revision`. */
export const COMPUTED_COLUMNS: readonly Column<CacheRow>[] = [
  ...DOCUMENT_COLUMNS,
  ...TOTAL_COLUMNS,
  ...EVENT_COLUMNS,
  HASH_COLUMN,
  ...MOVING_COLUMNS,
];

/** The columns of a touch: the hash that must be unchanged, and the columns it updates. */
export const TOUCH_COLUMNS: readonly Column<CacheRow>[] = [HASH_COLUMN, ...MOVING_COLUMNS];

/** `name, name`, each with `prefix` before it. */
export function listColumns(columns: readonly { readonly name: string }[], prefix = ""): string {
  return columns.map(({ name }) => `${prefix}${name}`).join(", ");
}

/** `name = EXCLUDED.name` for each. */
export function setColumns(columns: readonly { readonly name: string }[]): string {
  return columns.map(({ name }) => `${name} = EXCLUDED.${name}`).join(", ");
}

/** Rows as a table of the key and these columns, for the parameters from $1 on that columnArrays() gives. */
export function unnestColumns(columns: readonly Pick<Column<never>, "name" | "type">[], alias: string): string {
  const all = [...KEY_COLUMNS, ...columns];
  const arrays = all.map(({ type }, index) => `$${index + 1}::${type}[]`);
  return `unnest(${arrays.join(", ")}) AS ${alias} (${listColumns(all)})`;
}

/** The key and these columns of rows, an array each. */
export function columnArrays<Row extends TenantDay>(columns: readonly Column<Row>[], rows: readonly Row[]): unknown[] {
  return [...KEY_COLUMNS, ...columns].map(({ type, value }) =>
    type === "jsonb" ? jsonbArray(rows.map((row) => value(row) as string)) : rows.map(value),
  );
}
