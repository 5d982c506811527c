/** The plans of PostgreSQL, as EXPLAIN (FORMAT JSON, VERBOSE[, ANALYZE]) gives them. Pure. */
import type { Access, PlanFacts, Work } from "../../../contract/plan-facts.ts";

export interface PlanNode {
  readonly "Node Type": string;
  readonly Plans?: readonly PlanNode[];
  readonly Schema?: string;
  readonly "Relation Name"?: string;
  readonly Alias?: string;
  readonly "Index Name"?: string;
  readonly "Index Cond"?: string;
  readonly "Order By"?: string;
  readonly Filter?: string;
  readonly "Sort Key"?: readonly string[];
  readonly [part: string]: unknown;
}

/** What a plan does not say about its relations. */
export interface Relations {
  /** The target or one of its partitions. */
  isTarget(schema: string, relation: string): boolean;
  /** The declared index that the index of a partition belongs to, or the name itself. */
  parentOf(index: string): string;
  /** Does this condition pick entries of the index, rather than read all of them? */
  isPicked(index: string, condition: string | undefined): boolean;
}

const GROUPS = new Set(["Aggregate", "Group", "Unique", "SetOp"]);
const WHOLE = new Set(["Seq Scan", "Sample Scan", "Foreign Scan"]);

/** @param root the `Plan` of the first element of EXPLAIN's answer */
export function readPostgresPlan(root: PlanNode, relations: Relations): PlanFacts {
  const accesses: Access[] = [];
  const sorts: string[] = [];
  const advice: string[] = [];
  let examined = 0;
  let heapFetches = 0;
  const walk = (node: PlanNode, isWithinTarget: boolean): void => {
    const stage = node["Node Type"];
    const relation = node["Relation Name"];
    // A Bitmap Index Scan names the index but no relation: that is on the Bitmap Heap Scan above it.
    const isTarget = relation === undefined ? isWithinTarget : relations.isTarget(node.Schema ?? "", relation);
    const name = node["Index Name"];
    if (isTarget && name !== undefined) {
      const index = relations.parentOf(name);
      const condition = node["Index Cond"] ?? node["Order By"];
      const bounded = relations.isPicked(index, condition);
      accesses.push({ stage, index, bounded });
      if (condition !== undefined && !bounded)
        advice.push(`reads all of ${index}: nothing is compared with its first column`);
    } else if (isTarget && WHOLE.has(stage)) {
      accesses.push({ stage, index: undefined, bounded: false });
    }
    if (stage === "Sort") sorts.push(sortKey(node));
    if (stage === "Incremental Sort") advice.push(`sorts the rows of equal first keys by ${sortKey(node)}`);
    if (relation !== undefined) {
      examined += lookedAt(node);
      heapFetches += count(node["Heap Fetches"]);
    }
    for (const child of node.Plans ?? []) walk(child, isTarget && stage.startsWith("Bitmap"));
  };
  walk(root, false);
  if (heapFetches > 0) advice.push(`${heapFetches} rows were looked up in the table all the same: VACUUM it`);
  const returned = returnedBy(root);
  return {
    accesses,
    sorts,
    covered: accesses.length > 0 && accesses.every(({ stage }) => stage === "Index Only Scan"),
    work: root["Actual Loops"] === undefined ? undefined : work(returned, examined),
    advice,
  };
}

function work(returned: number, examined: number): Work {
  return { returned: Math.round(returned), examined: Math.round(examined) };
}

/** Rows that a scan fetched, kept or not. A bitmap's entries are counted where their rows are. */
function lookedAt(node: PlanNode): number {
  const each =
    count(node["Actual Rows"]) + count(node["Rows Removed by Filter"]) + count(node["Rows Removed by Index Recheck"]);
  return each * count(node["Actual Loops"]);
}

/** Rows of the query, or those that went into its first grouping: a count may rightly need many for its one row. */
function returnedBy(root: PlanNode): number {
  let node = root;
  let counted = root;
  for (;;) {
    const child: PlanNode | undefined = node.Plans?.find(
      (one) => !/^(InitPlan|SubPlan)$/.test(String(one["Parent Relationship"])),
    );
    if (!child) break;
    if (GROUPS.has(node["Node Type"])) counted = child;
    node = child;
  }
  return count(counted["Actual Rows"]) * count(counted["Actual Loops"]);
}

function sortKey(node: PlanNode): string {
  return (node["Sort Key"] ?? []).join(", ");
}

function count(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

/** The node of the plan that reads the target, which has its filter and its alias; undefined if none does. */
export function scanOfTarget(root: PlanNode, relations: Relations): PlanNode | undefined {
  const relation = root["Relation Name"];
  if (relation !== undefined && relations.isTarget(root.Schema ?? "", relation)) return root;
  for (const child of root.Plans ?? []) {
    const found = scanOfTarget(child, relations);
    if (found) return found;
  }
  return undefined;
}
