/** Judges from the evidence whether a contract is kept. Pure. */
import { formatMs } from "../format.ts";
import type { Contract } from "../manifest/manifest.ts";
import { goesThrough, indexNames, type PlanFacts, type Work } from "./plan-facts.ts";

/**
 * `could use`: the plan would use the index with more data; today reading everything is cheaper. `no data`: no document
 * or row to take the query's values from, and with invented values the plan uses no index.
 */
export type ContractVerdict = "uses" | "could use" | "cannot use" | "no data";

/** Checks that not every server allows, named for a person. */
export type Check = "examined per returned" | "covered" | "no sort";

/** What makes a query dearer than its index should, whether or not the contract is kept; somebody has to act. */
export interface Warning {
  readonly kind: "multikey";
  /** names the index, what is wrong and the fix */
  readonly sentence: string;
}

export interface ContractEvidence {
  readonly plan: PlanFacts;
  /** The plan with cheaper ways of reading a small table switched off; made where `plan` does not keep the contract. */
  readonly forced?: PlanFacts | undefined;
  /** `small`: reading it whole may be cheaper than any index. */
  readonly size: "empty" | "small" | "large";
  /** The values are the contract's own or sampled from the data, not invented. */
  readonly isReal: boolean;
  /** Why the index is not used, as far as known. */
  readonly reasons: readonly string[];
  /** How long a client waits for the whole answer; the shortest of a few runs. */
  readonly ms?: number | undefined;
  /** Documents in the answer, for a server whose plan does not count them. */
  readonly returned?: number | undefined;
  /** The query did not end within this many milliseconds. */
  readonly endedAfterMs?: number | undefined;
  readonly advice: readonly string[];
  readonly warnings?: readonly Warning[];
  /** Promises that cannot be checked on this server. */
  readonly untold?: readonly Check[];
}

export interface Judgement {
  verdict: ContractVerdict;
  /** The contract is kept; also with `could use`, where there is little data or the contract's mode is `could`. */
  ok: boolean;
  /** Indexes in the plan that the verdict is based on. */
  used: string[];
  returned: number | null;
  examined: number | null;
  ms: number | null;
  /** Why the contract is broken; with mode `cannot`, why no index serves the query. */
  why: string[];
  /** Hints that do not break the contract. */
  advice: string[];
  warnings: readonly Warning[];
  /** Checks that this server does not allow. */
  unchecked: Check[];
}

/** The judgement of a query that the server refuses, or whose table does not exist. */
export function refused(reason: string): Judgement {
  const nothing = { used: [], returned: null, examined: null, ms: null, advice: [], warnings: [], unchecked: [] };
  return { verdict: "cannot use", ok: false, why: [reason], ...nothing };
}

/** Does the plan use the index and keep the promises `noSort` and `covered`? */
export function keepsShape(
  contract: Contract,
  accepted: readonly string[],
  plan: PlanFacts | undefined,
  isForced = false,
): boolean {
  return plan !== undefined && brokenShape(contract, accepted, plan, isForced).length === 0;
}

/** The promises about its shape that a plan breaks. */
export function brokenShape(
  contract: Contract,
  accepted: readonly string[],
  plan: PlanFacts,
  isForced: boolean,
): string[] {
  const others = [
    ...(contract.noSort === true ? plan.sorts.map((keys) => `the order is not served: sorts by ${keys}`) : []),
    ...(contract.covered === true && plan.covered === false ? ["not answered from the index alone"] : []),
  ];
  return reaches(contract, accepted, plan, isForced) ? others : [insteadOf(plan), ...others];
}

function reaches(contract: Contract, accepted: readonly string[], plan: PlanFacts, isForced: boolean): boolean {
  // In a forced plan, an index that is read whole counts only where it saves the sort or the read of the table.
  const isSorted = contract.noSort === true && plan.sorts.length === 0;
  const isCovered = contract.covered === true && plan.covered === true;
  return goesThrough(plan, accepted, isForced && !isSorted && !isCovered);
}

function insteadOf(plan: PlanFacts): string {
  const whole = plan.accesses.find(({ index }) => index === undefined);
  if (whole) return `reads everything (${whole.stage})${whole.shard === undefined ? "" : ` on ${whole.shard}`}`;
  const names = indexNames(plan);
  return names.length > 0 ? `uses ${names.join(", ")} instead` : "reads nothing at all";
}

/** @param accepted names, as the server has them, of the indexes that may serve the contract */
export function judgeContract(contract: Contract, accepted: readonly string[], evidence: ContractEvidence): Judgement {
  const { plan, forced, isReal, reasons, size } = evidence;
  const mode = contract.mode ?? "uses";
  const isUsed = reaches(contract, accepted, plan, false);
  const isKept = keepsShape(contract, accepted, plan);
  const isPossible = forced !== undefined && reaches(contract, accepted, forced, true);
  const isKeptThen = keepsShape(contract, accepted, forced, true);
  const verdict: ContractVerdict =
    isUsed && isReal
      ? "uses"
      : isUsed || isPossible
        ? "could use"
        : isReal || mode === "cannot"
          ? "cannot use"
          : "no data";
  const decides = forced !== undefined && !isKept && (isKeptThen || (!isUsed && isPossible)) ? forced : plan;
  // A plan that was not executed has no counts of its own.
  const work = decides.work ?? (isUsed ? plan.work : undefined);
  const common = {
    verdict,
    used: indexNames(decides),
    returned: work?.returned ?? evidence.returned ?? null,
    examined: work?.examined ?? null,
    ms: evidence.ms ?? null,
    warnings: evidence.warnings ?? [],
  };
  const advice = [...new Set([...decides.advice, ...evidence.advice])];

  if (mode === "cannot") {
    if (verdict !== "cannot use")
      advice.unshift(`it ${verdict}${verdict === "uses" ? "" : ":"} ${common.used.join(", ")} after all`);
    const why = contract.because === undefined ? [...reasons] : [contract.because];
    return { ...common, ok: true, why, advice, unchecked: [] };
  }
  if (verdict === "no data") {
    const why = ["there is no data to take its values from, and with invented values no index is used", ...reasons];
    return { ...common, ok: true, why, advice, unchecked: [] };
  }
  const unchecked: Check[] = contract.noSort === true ? [...(evidence.untold ?? [])] : [];
  if (verdict === "cannot use") {
    const why = reasons.length > 0 ? [...reasons] : brokenShape(contract, accepted, plan, false);
    return { ...common, ok: false, why: [...why, ...tooSlow(contract, evidence)], advice, unchecked };
  }

  const why: string[] = [];
  if (!isKept && !isKeptThen) why.push(...brokenShape(contract, accepted, decides, decides === forced));
  else if (!isKept && isUsed) {
    // The planner finds a sort or the table cheaper for so few rows, or for pages that VACUUM has not seen yet.
    if (contract.noSort === true)
      advice.push(...plan.sorts.map((keys) => `at present the plan sorts by ${keys}, though the index has that order`));
    if (contract.covered === true && plan.covered === false) {
      advice.push("at present the plan reads the table too, though the index has every column of the query");
    }
  } else if (!isKept && size === "large" && mode !== "could") {
    why.push(
      `${insteadOf(plan)}, although there is much data: narrow the query, refresh the statistics, or allow that index in orUses`,
    );
  }
  const [more, missing] = examinedTooMuch(contract, work);
  why.push(...more, ...tooSlow(contract, evidence));
  unchecked.push(...missing);
  if (contract.covered === true && decides.covered === undefined) unchecked.push("covered");
  if (common.returned === 0 && isReal) advice.push("the query returned nothing, which proves little");
  return { ...common, ok: why.length === 0, why, advice, unchecked };
}

function examinedTooMuch({ maxExaminedPerReturned: limit }: Contract, work: Work | undefined): [string[], Check[]] {
  if (limit === undefined) return [[], []];
  if (!work) return [[], ["examined per returned"]];
  const { examined, returned } = work;
  if (examined <= limit * Math.max(1, returned)) return [[], []];
  return [[`examines ${examined} to return ${returned}; the contract promises at most ${limit} for each`], []];
}

function tooSlow({ maxMs }: Contract, { ms, endedAfterMs }: ContractEvidence): string[] {
  if (endedAfterMs !== undefined) return [`did not end within ${endedAfterMs} ms`];
  if (maxMs === undefined || ms === undefined || ms <= maxMs) return [];
  return [`takes ${formatMs(ms)} ms; the contract promises ${maxMs} ms`];
}
