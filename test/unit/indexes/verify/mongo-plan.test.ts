/** Plans of mongod and mongos in each shape that its versions and engines answer with, cut down to what is read. */
import { describe, expect, test } from "vitest";
import { readMongoPlan } from "../../../../src/indexes/engines/mongo/verify/plan.ts";
import { goesThrough, indexNames } from "../../../../src/indexes/contract/plan-facts.ts";

type Node = Record<string, unknown>;

const scan = (indexName: string, bounds: Node = { tenant: ['["a", "a"]'] }): Node => ({
  stage: "IXSCAN",
  keyPattern: { tenant: 1, at: -1 },
  indexName,
  indexBounds: bounds,
});
const fetch = (inputStage: Node): Node => ({ stage: "FETCH", inputStage });
const WHOLE = { tenant: ["[MinKey, MaxKey]"], at: ["[MaxKey, MinKey]"] };
const collscan = { stage: "COLLSCAN", direction: "forward" };

function stats(nReturned: number, keys: number, docs: number, stages: Node = { stage: "FETCH", nReturned }): Node {
  return {
    executionSuccess: true,
    nReturned,
    executionTimeMillis: 3,
    totalKeysExamined: keys,
    totalDocsExamined: docs,
    executionStages: stages,
  };
}
const find = (winningPlan: Node, executionStats?: Node): Node => ({
  queryPlanner: { winningPlan, rejectedPlans: [fetch(scan("rejected"))] },
  ...(executionStats ? { executionStats } : {}),
});

describe("find", () => {
  test("classic: the index under the fetch, and nothing of the plans that lost", () => {
    const facts = readMongoPlan(find({ stage: "LIMIT", inputStage: fetch(scan("a")) }, stats(10, 10, 10)));
    expect(indexNames(facts)).toEqual(["a"]);
    expect(facts).toMatchObject({ covered: false, sorts: [], work: { returned: 10, examined: 10 } });
    expect(goesThrough(facts, ["a"], true)).toBe(true);
    expect(goesThrough(facts, ["rejected"])).toBe(false);
  });

  test("slot-based: the tree is under queryPlan, and the counters belong to other stages", () => {
    const stages = {
      stage: "limit",
      nReturned: 6,
      inputStage: {
        stage: "nlj",
        outerStage: { stage: "ixseek", keysExamined: 7, seeks: 1, nReturned: 6 },
        innerStage: { stage: "limit", inputStage: { stage: "seek", nReturned: 6 } },
      },
    };
    const plan = { queryPlan: { stage: "LIMIT", inputStage: fetch(scan("a")) }, slotBasedPlan: { stages: "ixseek" } };
    const facts = readMongoPlan({ explainVersion: "2", ...find(plan, stats(6, 7, 6, stages)) });
    expect(indexNames(facts)).toEqual(["a"]);
    expect(facts.work).toEqual({ returned: 6, examined: 6 });
  });

  test("a plan without a fetch is covered", () => {
    const covered = readMongoPlan(find({ stage: "PROJECTION_COVERED", inputStage: scan("a") }, stats(5, 5, 0)));
    expect(covered).toMatchObject({ covered: true, work: { returned: 5, examined: 5 } });
    expect(readMongoPlan(find(collscan, stats(1, 0, 900))).covered).toBe(false);
    expect(readMongoPlan(find({ stage: "EOF" }, stats(0, 0, 0, { stage: "EOF" }))).covered).toBe(false);
  });

  test("a SORT is a blocking sort, a merge of sorted branches is not", () => {
    const sorted = { stage: "SORT", sortPattern: { at: -1 }, type: "simple", inputStage: fetch(scan("a")) };
    expect(readMongoPlan(find(sorted)).sorts).toEqual(['{"at":-1}']);
    const merged = fetch({ stage: "SORT_MERGE", sortPattern: { at: -1 }, inputStages: [scan("a"), scan("a")] });
    expect(readMongoPlan(find(merged)).sorts).toEqual([]);
  });

  test("an index that is read from end to end is not bounded, whatever a later key is compared with", () => {
    const whole = readMongoPlan(find(fetch(scan("a", WHOLE))));
    const later = readMongoPlan(find(fetch(scan("a", { tenant: ["[MinKey, MaxKey]"], at: ["[1, 2]"] }))));
    expect([whole, later].map((facts) => goesThrough(facts, ["a"], true))).toEqual([false, false]);
    expect(goesThrough(whole, ["a"])).toBe(true);
  });

  test("every branch of an $or counts, and one branch that reads everything breaks the contract", () => {
    const or = (second: Node) => ({
      stage: "SUBPLAN",
      inputStage: fetch({ stage: "OR", inputStages: [scan("a"), second] }),
    });
    expect(indexNames(readMongoPlan(find(or(scan("b")))))).toEqual(["a", "b"]);
    expect(goesThrough(readMongoPlan(find(or(scan("b")))), ["a"])).toBe(true);
    expect(goesThrough(readMongoPlan(find(or(collscan))), ["a"])).toBe(false);
  });

  test.each([
    [{ stage: "IDHACK" }, "_id_"],
    [{ stage: "CLUSTERED_IXSCAN" }, "_id_"],
    [{ stage: "EXPRESS_CLUSTERED_IXSCAN", keyPattern: "{ _id: 1 }" }, "_id_"],
    [{ stage: "EXPRESS_IXSCAN", keyPattern: "{ a: 1, b: 1 }", indexName: "a_1_b_1" }, "a_1_b_1"],
    [{ stage: "EXPRESS_IXSCAN", keyPattern: "{ _id: 1 }" }, "_id_"],
    [{ stage: "COUNT", inputStage: { stage: "COUNT_SCAN", indexName: "a", indexBounds: { startKey: { a: 1 } } } }, "a"],
    [{ stage: "PROJECTION_COVERED", inputStage: { stage: "DISTINCT_SCAN", indexName: "a" } }, "a"],
    [fetch({ stage: "TEXT_MATCH", inputStage: scan("words", { _fts: ['["x", "x"]'] }) }), "words"],
    [{ stage: "GEO_NEAR_2DSPHERE", indexName: "place", inputStages: [fetch(scan("place"))] }, "place"],
  ])("%j goes through %s", (plan, index) => {
    const facts = readMongoPlan(find(plan));
    expect(indexNames(facts)).toEqual([index]);
    expect(goesThrough(facts, [index], true)).toBe(true);
  });

  test("an express plan fetches its document unless it says otherwise; a plan that reads nothing uses nothing", () => {
    const express = { stage: "EXPRESS_IXSCAN", keyPattern: "{ a: 1 }", indexName: "a" };
    expect(readMongoPlan(find(express)).covered).toBe(false);
    expect(readMongoPlan(find({ ...express, projectionCovered: true })).covered).toBe(true);
    expect(goesThrough(readMongoPlan(find({ stage: "RECORD_STORE_FAST_COUNT" })), [])).toBe(false);
  });
});

describe("counters", () => {
  test("a count returns its result, and does not examine the entry behind its range", () => {
    const stages = {
      stage: "COUNT",
      nReturned: 0,
      nCounted: 40,
      inputStage: { stage: "COUNT_SCAN", keysExamined: 41 },
    };
    const plan = { stage: "COUNT", inputStage: { stage: "COUNT_SCAN", indexName: "a" } };
    expect(readMongoPlan(find(plan, stats(0, 41, 0, stages))).work).toEqual({ returned: 40, examined: 40 });
  });

  test("seeks for the values of an $in do not count as examined, entries without documents do", () => {
    const seeks = { stage: "FETCH", inputStage: { stage: "IXSCAN", keysExamined: 5, seeks: 3 } };
    expect(readMongoPlan(find(fetch(scan("a")), stats(3, 5, 3, seeks))).work).toEqual({ returned: 3, examined: 3 });
    const skipped = { stage: "FETCH", inputStage: { stage: "IXSCAN", keysExamined: 479, seeks: 1 } };
    expect(readMongoPlan(find(fetch(scan("a")), stats(6, 479, 6, skipped))).work).toEqual({
      returned: 6,
      examined: 478,
    });
  });

  test("without an execution there are no counters", () => {
    expect(readMongoPlan(find(fetch(scan("a")))).work).toBeUndefined();
  });
});

describe("aggregate", () => {
  const cursor = find(fetch(scan("a")), stats(500, 501, 500, { stage: "IXSCAN", seeks: 1, nReturned: 500 }));

  test("an aggregate returns the documents of its cursor, not its groups", () => {
    const facts = readMongoPlan({
      stages: [
        { $cursor: cursor, nReturned: 500 },
        { $group: {}, nReturned: 3 },
      ],
    });
    expect(indexNames(facts)).toEqual(["a"]);
    expect(facts.work).toEqual({ returned: 500, examined: 500 });
  });

  test("an aggregate that is pushed down returns the documents that went into the group", () => {
    const stages = {
      stage: "project",
      nReturned: 3,
      inputStage: {
        stage: "group",
        nReturned: 3,
        inputStage: { stage: "nlj", nReturned: 500, outerStage: { stage: "ixseek", seeks: 1, nReturned: 500 } },
      },
    };
    const plan = { queryPlan: { stage: "GROUP", inputStage: fetch(scan("a")) }, slotBasedPlan: {} };
    const facts = readMongoPlan({ optimizedPipeline: true, ...find(plan, stats(3, 501, 500, stages)) });
    expect(facts.work).toEqual({ returned: 500, examined: 500 });
  });

  test("a $sort that stays in the pipeline is a blocking sort, and a $lookup that reads a whole collection is reported", () => {
    const facts = readMongoPlan({
      stages: [
        { $cursor: cursor },
        { $lookup: { from: "users" }, collectionScans: 500, indexesUsed: [] },
        { $lookup: { from: "plans" }, collectionScans: 0, indexesUsed: ["_id_"] },
        { $sort: { sortKey: { n: -1 } } },
      ],
    });
    expect(facts.sorts).toEqual(['{"n":-1}']);
    expect(facts.advice).toEqual(["$lookup reads users whole"]);
    // Neither is the contract's own access.
    expect(indexNames(facts)).toEqual(["a"]);
  });

  test("the index of a pushed-down $lookup belongs to another collection", () => {
    const lookup = {
      stage: "EQ_LOOKUP",
      foreignCollection: "users",
      strategy: "HashJoin",
      inputStage: fetch(scan("a")),
    };
    const facts = readMongoPlan(find({ queryPlan: lookup }));
    expect(indexNames(facts)).toEqual(["a"]);
    expect(facts.advice).toEqual(["$lookup reads users whole"]);
    const indexed = readMongoPlan(find({ queryPlan: { ...lookup, indexName: "id_1", strategy: "IndexedLoopJoin" } }));
    expect([indexNames(indexed), indexed.advice]).toEqual([["a"], []]);
  });
});

describe("sharded", () => {
  const shard = (shardName: string, plan: Node) => ({
    shardName,
    winningPlan: { stage: "SHARDING_FILTER", inputStage: plan },
  });
  const merged = (second: Node, shards: Node[]) =>
    find(
      { stage: "SHARD_MERGE", shards: [shard("s1", fetch(scan("a"))), shard("s2", second)] },
      stats(30, 20, 920, { stage: "SHARD_MERGE", shards }),
    );

  test("one shard that reads everything is enough to fail, and its counters count", () => {
    const shards = [
      { shardName: "s1", ...stats(20, 20, 20) },
      { shardName: "s2", ...stats(10, 0, 900) },
    ];
    const facts = readMongoPlan(merged(collscan, shards));
    expect(goesThrough(facts, ["a"])).toBe(false);
    expect(facts.accesses.find(({ index }) => index === undefined)).toMatchObject({ shard: "s2", stage: "COLLSCAN" });
    expect(facts.work).toEqual({ returned: 30, examined: 920 });
  });

  test("one shard that uses another index is enough to fail", () => {
    expect(goesThrough(readMongoPlan(merged(fetch(scan("b")), [])), ["a"])).toBe(false);
    expect(goesThrough(readMongoPlan(merged(fetch(scan("a")), [])), ["a"])).toBe(true);
  });

  test("old servers give a shard's counters in its stages only", () => {
    const stages = (docs: number, nReturned: number) => ({
      executionStages: {
        stage: "FETCH",
        nReturned,
        docsExamined: docs,
        inputStage: { stage: "IXSCAN", keysExamined: docs },
      },
    });
    const shards = [
      { shardName: "s1", ...stages(20, 20) },
      { shardName: "s2", ...stages(15, 10) },
    ];
    expect(readMongoPlan(merged(fetch(scan("a")), shards)).work).toEqual({ returned: 30, examined: 35 });
  });

  test("an aggregate's shards have names, with stages or without", () => {
    const withStages = { host: "x", stages: [{ $cursor: find(fetch(scan("a")), stats(5, 5, 5)) }, { $group: {} }] };
    const without = { host: "y", ...find({ queryPlan: fetch(scan("a")) }, stats(7, 7, 7)) };
    const facts = readMongoPlan({ splitPipeline: { mergerPart: [] }, shards: { s1: withStages, s2: without } });
    expect(facts.accesses.map(({ shard, index }) => [shard, index])).toEqual([
      ["s1", "a"],
      ["s2", "a"],
    ]);
    expect(facts.work).toEqual({ returned: 12, examined: 12 });
    const bad = { host: "y", ...find(collscan, stats(7, 0, 700)) };
    expect(goesThrough(readMongoPlan({ shards: { s1: withStages, s2: bad } }), ["a"])).toBe(false);
  });
});

describe("arrays in indexed fields", () => {
  /** A stage that scans an index into whose `at` an array was written. */
  const marked = (stage: string, more: Node = {}): Node => ({
    ...scan("a"),
    stage,
    isMultiKey: true,
    multiKeyPaths: { tenant: [], at: ["at"] },
    ...more,
  });
  const arraysOf = (reply: Node) => readMongoPlan(reply).accesses.map(({ arrays }) => arrays);

  test("are told by each stage that scans an index, in each shape of a plan", () => {
    const shapes = [
      find(fetch(marked("IXSCAN"))),
      find({ stage: "COUNT", inputStage: marked("COUNT_SCAN") }),
      find({ stage: "PROJECTION_COVERED", inputStage: marked("DISTINCT_SCAN") }),
      { explainVersion: "2", ...find({ queryPlan: { stage: "GROUP", inputStage: fetch(marked("IXSCAN")) } }) },
      { stages: [{ $cursor: find(fetch(marked("IXSCAN"))) }, { $group: {} }] },
      { shards: { s1: find(fetch(marked("IXSCAN"))) } },
    ];
    for (const reply of shapes) expect(arraysOf(reply), JSON.stringify(reply)).toEqual([{ at: ["at"] }]);
  });

  test("name the parts of a path that are arrays", () => {
    const paths = { tenant: [], "calls.at": ["calls"] };
    expect(arraysOf(find(marked("IXSCAN", { multiKeyPaths: paths })))).toEqual([{ "calls.at": ["calls"] }]);
  });

  test("may be in any field where the server gives no paths", () => {
    const old = fetch({ ...scan("a"), isMultiKey: true });
    expect(arraysOf(find(old))).toEqual([{ tenant: ["tenant", "at"], at: ["tenant", "at"] }]);
  });

  test("are none where the index is not multikey", () => {
    const clean = { ...scan("a"), isMultiKey: false, multiKeyPaths: { tenant: [], at: [] } };
    expect(arraysOf(find(fetch(clean)))).toEqual([undefined]);
  });
});

test("a DISTINCT_SCAN that fetches the documents itself is not covered", () => {
  const distinct = (isFetching: boolean) =>
    find({ stage: "PROJECTION_SIMPLE", inputStage: { ...scan("a"), stage: "DISTINCT_SCAN", isFetching } });
  expect(readMongoPlan(distinct(true)).covered).toBe(false);
  expect(readMongoPlan(distinct(false)).covered).toBe(true);
});
