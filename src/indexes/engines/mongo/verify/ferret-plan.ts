/**
 * Reads the plans of FerretDB: nodes of the PostgreSQL behind it, never executed, so without counts. Its `_id_` index
 * begins with the number of the collection, so a scan of it may well read everything. Pure.
 */
import { BSON } from "mongodb";
import { arraysOf, type ScanNode } from "../../../../mongo/multikey.ts";
import type { Access, PlanFacts } from "../../../contract/plan-facts.ts";

/** The fields of a plan node of the PostgreSQL behind FerretDB that are read here. */
interface PlanNode {
  readonly "Node Type": string;
  readonly Plans?: readonly PlanNode[];
  readonly "Index Name"?: string;
  readonly "Index Cond"?: string;
  readonly "Sort Key"?: readonly string[];
  readonly IndexDetails?: readonly Detail[];
}

/** BSON in hex: the key of an index condition that reads the whole index, which a hint may force. */
const FULL_SCAN = Buffer.from("fullScan").toString("hex");
/** Bounds whose first key is not bounded. */
const WHOLE_BOUNDS = /^\["(?:[^"\\]|\\.)*": (?:DESC)?[([]MinKey, MaxKey[)\]]/;
/** The nodes that read a collection whole. A collection that does not exist is a function scan without rows. */
const WHOLE = new Set(["Seq Scan", "Sample Scan"]);

/** @param reply what `explain` answered */
export function readFerretPlan(reply: Readonly<Record<string, unknown>>): PlanFacts {
  const root = (reply["queryPlanner"] as { Plan?: PlanNode } | undefined)?.Plan;
  const accesses: Access[] = [];
  const sorts: string[] = [];
  const walk = (node: PlanNode, above: readonly Detail[]): void => {
    const stage = node["Node Type"];
    const index = node["Index Name"];
    const condition = node["Index Cond"] ?? "";
    const details = node.IndexDetails ?? above;
    if (index !== undefined) {
      const detail = details.find(({ indexName }) => indexName === index);
      accesses.push({
        ...accessOf(stage, index, condition, detail?.indexBounds ?? []),
        arrays: arraysOf(detail ?? {}),
      });
    } else if (WHOLE.has(stage)) accesses.push({ stage, index: undefined, bounded: false });
    if (stage === "Sort") sorts.push(...(node["Sort Key"] ?? []).flatMap(orderOf));
    for (const child of node.Plans ?? []) walk(child, details);
  };
  if (root) walk(root, []);
  return {
    accesses,
    sorts: sorts.length > 0 ? [sorts.join(", ")] : [],
    covered: undefined,
    work: undefined,
    advice: [],
  };
}

interface Detail extends ScanNode {
  readonly indexName?: string;
  /** one for each range: `["tenant": ["a", "a"], "at": DESC(MinKey, MaxKey)]` */
  readonly indexBounds?: readonly string[];
}

function accessOf(stage: string, index: string, condition: string, bounds: readonly string[]): Access {
  if (index === "_id_" || index.startsWith("collection_pk_")) {
    if (!condition.includes("object_id")) return { stage, index: undefined, bounded: false };
    return { stage, index: "_id_", bounded: true };
  }
  const isWhole = condition === "" || condition.includes(FULL_SCAN) || bounds.some((range) => WHOLE_BOUNDS.test(range));
  return { stage, index, bounded: !isWhole };
}

/** The keys of the query's sort; empty for a sort that serves a grouping. */
function orderOf(key: string): string[] {
  const [, hex] = /bson_orderby\(.*?'BSONHEX([0-9a-f]+)'/.exec(key) ?? [];
  return hex === undefined ? [] : [JSON.stringify(BSON.deserialize(Buffer.from(hex, "hex")))];
}
