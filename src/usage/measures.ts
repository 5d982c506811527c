import { addWhole, compareWhole, formatCost, type Whole } from "./decimal.ts";
import type { EventField } from "./event.ts";

interface Measure {
  /** inside the raw rows */
  readonly name: string;
  /** in the folded documents */
  readonly json: string;
  /** of the day's total */
  readonly column: string;
  /** `whole` is a bigint in PostgreSQL and a Whole here, `cost` a numeric there and units of 10^-18 here */
  readonly kind: "whole" | "cost";
  /** the event's field that is summed; none = counts events */
  readonly field?: EventField;
  /** the fields whose sum replaces a missing field; none = 0 */
  readonly whenMissing?: readonly EventField[];
}

/**
 * The measures. The pipelines, the sums, the documents, the hash and the cache derive from this list. The order is
 * that of the raw rows' columns.
 */
export const MEASURES = [
  { name: "requests", json: "totalRequests", column: "total_requests", kind: "whole" },
  {
    name: "tokens",
    json: "totalTokens",
    column: "total_tokens",
    kind: "whole",
    field: "total_tokens",
    whenMissing: ["prompt_tokens", "completion_tokens"],
  },
  { name: "prompt", json: "promptTokens", column: "prompt_tokens", kind: "whole", field: "prompt_tokens" },
  {
    name: "completion",
    json: "completionTokens",
    column: "completion_tokens",
    kind: "whole",
    field: "completion_tokens",
  },
  { name: "cost", json: "totalCost", column: "total_cost", kind: "cost", field: "cost" },
] as const satisfies readonly Measure[];

type Listed = (typeof MEASURES)[number];
export type MeasureName = Listed["name"];
type NameOf<Kind> = Extract<Listed, { kind: Kind }>["name"];

/** The sums of some events, exact; a cost in units of 10^-18. */
export type Measures = Record<NameOf<"whole">, Whole> & Record<NameOf<"cost">, bigint>;

/** The measures that are whole numbers, and those that are costs, in the order of the list. */
export const WHOLES = MEASURES.filter((measure) => measure.kind === "whole").map(({ name }) => name);
export const COSTS = MEASURES.filter((measure) => measure.kind === "cost").map(({ name }) => name);

/** The measures that are sums of an event's field. */
export const SUMMED = MEASURES.filter((measure) => "field" in measure);

/** The largest token count and cost of one event; larger values are malformed. */
export const MEASURE_MAX = 1_000_000_000_000;

const NONE = Object.fromEntries(MEASURES.map(({ name, kind }) => [name, kind === "cost" ? 0n : 0])) as Measures;

/** Sums of no events, to add to. */
export function noMeasures(): Measures {
  return { ...NONE };
}

/** Adds `from` onto `to`. */
export function addMeasures(to: Measures, from: Measures): void {
  for (const name of WHOLES) to[name] = addWhole(to[name], from[name]);
  for (const name of COSTS) to[name] += from[name];
}

const WRITERS = Object.fromEntries(
  MEASURES.map((measure): [MeasureName, (sums: Measures) => string] =>
    measure.kind === "cost"
      ? [measure.name, (sums) => formatCost(sums[measure.name])]
      : [measure.name, (sums) => `${sums[measure.name]}`],
  ),
) as Readonly<Record<MeasureName, (sums: Measures) => string>>;

/** A sum as canonical decimal text, which holds every digit. */
export function measureText(sums: Measures, name: MeasureName): string {
  return WRITERS[name](sums);
}

/** Every measure as decimal text. */
export type MeasureTexts = Readonly<Record<MeasureName, string>>;

/** Sums as decimal text. */
export function measureTextsOf(sums: Measures): MeasureTexts {
  return Object.fromEntries(MEASURES.map(({ name }) => [name, measureText(sums, name)])) as MeasureTexts;
}

/** Larger first: by cost, then tokens. 0 when both are equal. */
export function compareSize(a: Measures, b: Measures): number {
  if (a.cost !== b.cost) return a.cost > b.cost ? -1 : 1;
  return compareWhole(b.tokens, a.tokens);
}
