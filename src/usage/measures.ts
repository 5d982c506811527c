import { addWhole, compareWhole, formatCost, type Whole } from "./decimal.ts";

/** The sums of some events, exact. */
export interface Measures {
  requests: Whole;
  tokens: Whole;
  prompt: Whole;
  completion: Whole;
  /** in units of 10^-18 */
  cost: bigint;
}

/**
 * What is counted: `name` inside the raw rows, `json` in the folded documents, `column` of the day's total. The order
 * is that of the raw rows' columns.
 */
export const MEASURES = [
  { name: "requests", json: "totalRequests", column: "total_requests" },
  { name: "tokens", json: "totalTokens", column: "total_tokens" },
  { name: "prompt", json: "promptTokens", column: "prompt_tokens" },
  { name: "completion", json: "completionTokens", column: "completion_tokens" },
  { name: "cost", json: "totalCost", column: "total_cost" },
] as const satisfies readonly { name: keyof Measures; json: string; column: string }[];

/** The largest token count and cost of one event; what is past it is malformed. */
export const MEASURE_MAX = 1_000_000_000_000;

/** Nothing, to add to. */
export function noMeasures(): Measures {
  return { requests: 0, tokens: 0, prompt: 0, completion: 0, cost: 0n };
}

/** Adds `from` onto `to`. */
export function addMeasures(to: Measures, from: Measures): void {
  to.requests = addWhole(to.requests, from.requests);
  to.tokens = addWhole(to.tokens, from.tokens);
  to.prompt = addWhole(to.prompt, from.prompt);
  to.completion = addWhole(to.completion, from.completion);
  to.cost += from.cost;
}

/** Every measure as canonical decimal text, in the order of MEASURES. */
export function measureTexts(sums: Measures): [string, string, string, string, string] {
  return [`${sums.requests}`, `${sums.tokens}`, `${sums.prompt}`, `${sums.completion}`, formatCost(sums.cost)];
}

/** Larger first: by cost, then tokens. 0 when both are equal. */
export function compareSize(a: Measures, b: Measures): number {
  if (a.cost !== b.cost) return a.cost > b.cost ? -1 : 1;
  return compareWhole(b.tokens, a.tokens);
}
