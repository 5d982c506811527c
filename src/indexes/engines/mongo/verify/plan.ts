/**
 * Reads the plans of mongod and mongos in all their shapes: classic, slot-based (the tree is under `queryPlan`, the
 * counters belong to other stages), express, sharded, and a pipeline with or without a cursor. Index names come from
 * the planner, counters from the execution, for every shard. Pure.
 */
import { arraysOf } from "../../../../mongo/multikey.ts";
import type { Access, PlanFacts, Work } from "../../../contract/plan-facts.ts";

type Node = Readonly<Record<string, unknown>>;

/** One shard's part of a reply, or all of it. */
interface Part {
  readonly shard?: string;
  readonly winningPlan: Node;
  readonly stats: Node | undefined;
  /** the stages of a pipeline after its cursor */
  readonly stages: readonly Node[];
}

const CHILDREN = [
  "inputStage",
  "inputStages",
  "outerStage",
  "innerStage",
  "thenStage",
  "elseStage",
  "child",
  "leftChild",
  "rightChild",
  "shards",
];
/** Stages that read by `_id` without naming its index; a clustered collection is stored in that order. */
const BY_ID = new Set(["IDHACK", "CLUSTERED_IXSCAN", "EXPRESS_CLUSTERED_IXSCAN"]);
const WHOLE_BOUNDS = /^\[(MinKey, MaxKey|MaxKey, MinKey)\]$/;

/** @param reply what `explain` answered, with `executionStats` or without */
export function readMongoPlan(reply: Node): PlanFacts {
  const parts = partsOf(reply);
  const accesses: Access[] = [];
  const sorts: string[] = [];
  const advice: string[] = [];
  let isFetched = false;
  for (const { shard, winningPlan, stages } of parts) {
    for (const node of nodesOf((winningPlan["queryPlan"] as Node | undefined) ?? winningPlan)) {
      const stage = text(node["stage"]);
      const access = accessOf(node, stage);
      if (access) accesses.push({ ...access, ...(shard === undefined ? {} : { shard }) });
      // Since 8.1 a DISTINCT_SCAN may fetch the documents itself.
      if (stage === "FETCH" || BY_ID.has(stage) || node["isFetching"] === true) isFetched = true;
      if (stage.startsWith("EXPRESS") && node["projectionCovered"] !== true) isFetched = true;
      if (stage === "SORT") sorts.push(json(node["sortPattern"]));
      if (stage === "EQ_LOOKUP" && node["indexName"] === undefined) {
        advice.push(`$lookup reads ${text(node["foreignCollection"])} whole`);
      }
    }
    for (const stage of stages) {
      if (stage["$sort"] !== undefined) sorts.push(json((stage["$sort"] as Node)["sortKey"] ?? stage["$sort"]));
      const lookup = stage["$lookup"] as Node | undefined;
      if (Number(stage["collectionScans"] ?? 0) > 0) advice.push(`$lookup reads ${text(lookup?.["from"])} whole`);
    }
  }
  const isWhole = accesses.some(({ index }) => index === undefined);
  const work = parts.map(workOf);
  return {
    accesses,
    sorts: [...new Set(sorts)],
    covered: accesses.length > 0 && !isWhole && !isFetched,
    work: work.length > 0 && work.every((one) => one !== undefined) ? total(work) : undefined,
    advice: [...new Set(advice)],
  };
}

function partsOf(reply: Node): Part[] {
  const { shards, stages, queryPlanner } = reply as { shards?: Node; stages?: Node[]; queryPlanner?: Node };
  if (shards !== undefined) {
    return Object.entries(shards).flatMap(([shard, part]) =>
      partsOf(part as Node).map((one) => ({ ...one, shard: one.shard ?? shard })),
    );
  }
  if (stages !== undefined) {
    const [first, ...rest] = stages;
    const cursor = (first?.["$cursor"] ?? first?.["$geoNearCursor"]) as Node | undefined;
    return cursor ? partsOf(cursor).map((part) => ({ ...part, stages: rest })) : [];
  }
  const winningPlan = queryPlanner?.["winningPlan"] as Node | undefined;
  if (!winningPlan) return [];
  const stats = reply["executionStats"] as Node | undefined;
  const shardPlans = winningPlan["shards"];
  if (!Array.isArray(shardPlans)) return [{ winningPlan, stats, stages: [] }];
  const shardStats = ((stats?.["executionStages"] as Node | undefined)?.["shards"] ?? []) as Node[];
  return (shardPlans as Node[]).map((plan) => ({
    shard: text(plan["shardName"]),
    winningPlan: plan["winningPlan"] as Node,
    stats: shardStats.find(({ shardName }) => shardName === plan["shardName"]),
    stages: [],
  }));
}

/** A stage and all stages below it. */
function nodesOf(node: Node): Node[] {
  const children = CHILDREN.flatMap((key) => (node[key] ?? []) as Node[]);
  return [node, ...children.flatMap(nodesOf)];
}

function accessOf(node: Node, stage: string): Access | undefined {
  if (stage === "COLLSCAN") return { stage, index: undefined, bounded: false };
  if (stage === "EQ_LOOKUP") return undefined; // its index is another collection's
  if (BY_ID.has(stage)) return { stage, index: "_id_", bounded: true };
  const index = node["indexName"];
  if (typeof index === "string")
    return { stage, index, bounded: isBounded(node["indexBounds"]), arrays: arraysOf(node) };
  // An express plan without a name is one over _id; its key pattern is a string.
  return stage === "EXPRESS_IXSCAN" ? { stage, index: "_id_", bounded: true } : undefined;
}

/** Judged by the first key: with bounds on later keys only, the whole index is read. */
function isBounded(bounds: unknown): boolean {
  const first: unknown = Object.values((bounds ?? {}) as Node)[0];
  return !Array.isArray(first) || first.some((interval) => !WHOLE_BOUNDS.test(String(interval)));
}

function workOf({ stats }: Part): Work | undefined {
  const root = stats?.["executionStages"] as Node | undefined;
  if (!stats || !root) return undefined;
  const nodes = nodesOf(root);
  const sum = (count: (node: Node) => unknown) => nodes.reduce((all, node) => all + Number(count(node) ?? 0), 0);
  // Old servers give a shard's counters in its stages only.
  const keys = Number(stats["totalKeysExamined"] ?? sum((node) => node["keysExamined"]));
  const documents = Number(stats["totalDocsExamined"] ?? sum((node) => node["docsExamined"]));
  // Each seek examines one entry past its range, which is not the query's fault.
  const seeks = sum((node) => (node["stage"] === "COUNT_SCAN" ? 1 : isIndexStage(node) ? node["seeks"] : 0));
  return {
    returned: returnedBy(nodes) ?? Number(stats["nReturned"] ?? root["nReturned"] ?? 0),
    examined: Math.max(documents, keys - seeks),
  };
}

function isIndexStage(node: Node): boolean {
  return /^(ix|IXSCAN$|DISTINCT_SCAN$)/.test(text(node["stage"]));
}

/** The result of a count, or the documents that went into a group stage: a few groups may rightly need many. */
function returnedBy(nodes: readonly Node[]): number | undefined {
  const counted = nodes.find(({ nCounted }) => nCounted !== undefined);
  if (counted) return Number(counted["nCounted"]);
  const group = nodes.findLast(({ stage }) => /^(group|block_group|GROUP)$/.test(text(stage)));
  const below = CHILDREN.map((key) => group?.[key]).find((child) => child !== undefined) as Node | undefined;
  return below?.["nReturned"] === undefined ? undefined : Number(below["nReturned"]);
}

function total(work: readonly Work[]): Work {
  const sum = (key: keyof Work) => work.reduce((all, one) => all + one[key], 0);
  return { returned: sum("returned"), examined: sum("examined") };
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function json(value: unknown): string {
  return JSON.stringify(value ?? {});
}
