/** From what was measured to what is said: whether a contract is kept, and what there is to tell. Pure. */
import { formatMs } from "../format.ts";
import type { Contract } from "../manifest/manifest.ts";
import { goesThrough, indexNames, type PlanFacts, type Work } from "./plan-facts.ts";

/**
 * `could use`: it does as soon as there is more data than now, where reading everything is cheaper. `no data`: there was
 * nothing to take the query's values from, and with invented ones no index is used.
 */
export type ContractVerdict = "uses" | "could use" | "cannot use" | "no data";

/** Checks that a server may be unable to make, as a person calls them. */
export type Check = "examined per returned" | "covered" | "no sort";

export interface ContractEvidence {
  readonly plan: PlanFacts;
  /** The plan without the cheaper ways that a small table offers; looked at where the first one disappoints. */
  readonly forced?: PlanFacts | undefined;
  /** `small`: reading it whole may be cheaper than any index. */
  readonly size: "empty" | "small" | "large";
  /** The values are the contract's own or the data's, not invented for want of any. */
  readonly isReal: boolean;
  /** Why the index is not used, as far as it was found out. */
  readonly reasons: readonly string[];
  /** The whole answer, as a client waits for it; the shortest of a few runs. */
  readonly ms?: number | undefined;
  /** What the answer held, for a server that does not count what its plan returns. */
  readonly returned?: number | undefined;
  /** The query did not end within this many milliseconds. */
  readonly endedAfterMs?: number | undefined;
  readonly advice: readonly string[];
  /** Promises whose keeping this server cannot show. */
  readonly untold?: readonly Check[];
}

export interface Judgement {
  verdict: ContractVerdict;
  /** Nothing is against the contract; `could use` is not, where there is little data or the contract says so. */
  ok: boolean;
  /** Indexes in the plan that decided. */
  used: string[];
  returned: number | null;
  examined: number | null;
  ms: number | null;
  /** What is against the contract; of one that is expected to find no index, why it finds none. */
  why: string[];
  /** What is worth knowing and not against it. */
  advice: string[];
  /** What this server does not tell. */
  unchecked: Check[];
}

/** Of a query that the server refuses, or whose table is not there: nothing can be promised about it. */
export function refused(reason: string): Judgement {
  const nothing = { used: [], returned: null, examined: null, ms: null, advice: [], unchecked: [] };
  return { verdict: "cannot use", ok: false, why: [reason], ...nothing };
}

/** Does the plan go through the index, and keep what is promised about its shape? */
export function keepsShape(
  contract: Contract,
  accepted: readonly string[],
  plan: PlanFacts | undefined,
  isForced = false,
): boolean {
  return plan !== undefined && brokenShape(contract, accepted, plan, isForced).length === 0;
}

/** The promises about the shape of a plan that it breaks. */
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
  // Under force an index that is read whole serves only where that saves the sort or the look at the table.
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

/** @param accepted names that may serve it, under which the server knows them */
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
  // What was only planned has no counts of its own.
  const work = decides.work ?? (isUsed ? plan.work : undefined);
  const common = {
    verdict,
    used: indexNames(decides),
    returned: work?.returned ?? evidence.returned ?? null,
    examined: work?.examined ?? null,
    ms: evidence.ms ?? null,
  };
  const advice = [...new Set([...decides.advice, ...evidence.advice])];

  if (mode === "cannot") {
    if (verdict !== "cannot use")
      advice.unshift(`it ${verdict}${verdict === "uses" ? "" : ":"} ${common.used.join(", ")} after all`);
    const why = contract.because === undefined ? [...reasons] : [contract.because];
    return { ...common, ok: true, why, advice, unchecked: [] };
  }
  if (verdict === "no data") {
    const why = ["there is nothing to take its values from, and with invented ones no index is used", ...reasons];
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
    // The planner finds the other way cheaper for so few rows, or for pages that no VACUUM has seen.
    if (contract.noSort === true)
      advice.push(...plan.sorts.map((keys) => `at present it sorts by ${keys}, though the index has that order`));
    if (contract.covered === true && plan.covered === false) {
      advice.push("at present it looks at the table too, though the index has all it asks for");
    }
  } else if (!isKept && size === "large" && mode !== "could") {
    why.push(
      `${insteadOf(plan)}, although there is much data: ask for less of it, refresh the statistics, or allow that index in orUses`,
    );
  }
  const [more, missing] = examinedTooMuch(contract, work);
  why.push(...more, ...tooSlow(contract, evidence));
  unchecked.push(...missing);
  if (contract.covered === true && decides.covered === undefined) unchecked.push("covered");
  if (common.returned === 0 && isReal) advice.push("nothing was returned, which proves little");
  return { ...common, ok: why.length === 0, why, advice, unchecked };
}

function examinedTooMuch({ maxExaminedPerReturned: limit }: Contract, work: Work | undefined): [string[], Check[]] {
  if (limit === undefined) return [[], []];
  if (!work) return [[], ["examined per returned"]];
  const { examined, returned } = work;
  if (examined <= limit * Math.max(1, returned)) return [[], []];
  return [[`examines ${examined} to return ${returned}; ${limit} for each are promised`], []];
}

function tooSlow({ maxMs }: Contract, { ms, endedAfterMs }: ContractEvidence): string[] {
  if (endedAfterMs !== undefined) return [`does not end within ${endedAfterMs} ms`];
  if (maxMs === undefined || ms === undefined || ms <= maxMs) return [];
  return [`takes ${formatMs(ms)} ms; ${maxMs} ms are promised`];
}
