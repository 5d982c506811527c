/** Reads the plans of PostgreSQL from EXPLAIN (FORMAT JSON, VERBOSE[, ANALYZE]). Pure. */
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

/** Facts about relations that a plan does not contain. */
export interface Relations {
  /** The target or one of its partitions. */
  isTarget(schema: string, relation: string): boolean;
  /** For the index of a partition, the declared index it belongs to; else the name itself. */
  parentOf(index: string): string;
  /** Does this condition pick entries of the index, instead of reading all? */
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
    // A Bitmap Index Scan names no relation; the Bitmap Heap Scan above it does.
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
  if (heapFetches > 0) advice.push(`an index-only scan still read ${heapFetches} rows from the table: VACUUM it`);
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

/** Rows that a scan fetched, kept or not. Entries of a bitmap count at the Bitmap Heap Scan. */
function lookedAt(node: PlanNode): number {
  const each =
    count(node["Actual Rows"]) + count(node["Rows Removed by Filter"]) + count(node["Rows Removed by Index Recheck"]);
  return each * count(node["Actual Loops"]);
}

/** The rows of the query, or the input of its first grouping: a count may rightly read many for its single row. */
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

/** The plan node that reads the target, with its filter and alias; undefined if no node does. */
export function scanOfTarget(root: PlanNode, relations: Relations): PlanNode | undefined {
  const relation = root["Relation Name"];
  if (relation !== undefined && relations.isTarget(root.Schema ?? "", relation)) return root;
  for (const child of root.Plans ?? []) {
    const found = scanOfTarget(child, relations);
    if (found) return found;
  }
  return undefined;
}
