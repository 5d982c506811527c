/** Plans of PostgreSQL, and those of the PostgreSQL behind FerretDB, as EXPLAIN writes them. */
import { BSON } from "mongodb";
import { describe, expect, test } from "vitest";
import { readFerretPlan } from "../../../../src/indexes/engines/mongo/verify/ferret-plan.ts";
import { goesThrough, indexNames } from "../../../../src/indexes/contract/plan-facts.ts";
import {
  type PlanNode,
  readPostgresPlan,
  type Relations,
} from "../../../../src/indexes/engines/postgres/verify/plan.ts";

const relations: Relations = {
  isTarget: (schema, name) => schema === "public" && name.startsWith("orders"),
  parentOf: (index) => index.replace(/_p\d+$/, ""),
  isPicked: (index, condition) => index === "partial" || condition?.includes("customer") === true,
};
const read = (plan: PlanNode) => readPostgresPlan(plan, relations);
const CONDITION = "(orders.customer = 'c1'::text)";

function scan(type: string, more: Partial<PlanNode> = {}): PlanNode {
  const relation = { Schema: "public", "Relation Name": "orders", Alias: "orders" };
  return { "Node Type": type, ...relation, "Actual Rows": 10, "Actual Loops": 1, ...more };
}
const indexScan = (more: Partial<PlanNode> = {}) =>
  scan("Index Scan", { "Index Name": "by_customer", "Index Cond": CONDITION, ...more });
function over(type: string, child: PlanNode, more: Partial<PlanNode> = {}): PlanNode {
  const plans = [{ ...child, "Parent Relationship": "Outer" }];
  return { "Node Type": type, "Actual Rows": 10, "Actual Loops": 1, Plans: plans, ...more };
}

describe("PostgreSQL", () => {
  test("the index of a bitmap scan is in the node below, its row count in the node above", () => {
    const below: PlanNode = {
      "Node Type": "Bitmap Index Scan",
      "Index Name": "by_customer",
      "Index Cond": CONDITION,
      "Actual Rows": 12,
      "Actual Loops": 1,
    };
    const facts = read({ ...scan("Bitmap Heap Scan", { "Rows Removed by Index Recheck": 2 }), Plans: [below] });
    expect(facts.accesses).toEqual([{ stage: "Bitmap Index Scan", index: "by_customer", bounded: true }]);
    expect(facts.work).toEqual({ returned: 10, examined: 12 });
  });

  test("rows removed by a filter or a recheck count as examined, for each loop of the node", () => {
    const facts = read(
      indexScan({ "Rows Removed by Filter": 5, "Rows Removed by Index Recheck": 1, "Actual Loops": 3 }),
    );
    expect(facts.work).toEqual({ returned: 30, examined: 48 });
  });

  test("with a grouping, its input counts as returned; with several, that of the innermost", () => {
    const counted = over("Aggregate", over("Gather", over("Aggregate", indexScan({ "Actual Rows": 400 }))), {
      "Actual Rows": 1,
    });
    expect(read(counted).work).toEqual({ returned: 400, examined: 400 });
    // An InitPlan comes first in the list and is not part of the plan's tree.
    const init: PlanNode = { ...scan("Seq Scan", { "Relation Name": "other" }), "Parent Relationship": "InitPlan" };
    const limited = over("Limit", indexScan({ "Actual Rows": 7 }), { "Actual Rows": 7 });
    expect(read({ ...limited, Plans: [init, ...(limited.Plans ?? [])] }).work).toEqual({ returned: 7, examined: 17 });
  });

  test("a limit over a sort examines many rows and returns few", () => {
    const facts = read(
      over("Limit", over("Sort", indexScan({ "Actual Rows": 5000 }), { "Sort Key": ["orders.at DESC"] })),
    );
    expect(facts).toMatchObject({ sorts: ["orders.at DESC"], work: { returned: 10, examined: 5000 } });
  });

  test("an incremental sort is not a blocking sort, and is reported", () => {
    const facts = read(over("Incremental Sort", indexScan(), { "Sort Key": ["a", "b"] }));
    expect(facts).toMatchObject({ sorts: [], advice: ["sorts the rows of equal first keys by a, b"] });
  });

  test("only scans of the target count as use; other tables of a join count as work", () => {
    const other = scan("Seq Scan", { "Relation Name": "other", "Actual Rows": 100 });
    const facts = read({ "Node Type": "Hash Join", "Actual Rows": 10, "Actual Loops": 1, Plans: [indexScan(), other] });
    expect(indexNames(facts)).toEqual(["by_customer"]);
    expect(goesThrough(facts, ["by_customer"])).toBe(true);
    expect(facts.work).toEqual({ returned: 10, examined: 110 });
  });

  test("a partition's index counts as its parent's, and one partition that is read whole breaks the contract", () => {
    const first = indexScan({ "Relation Name": "orders_1", "Index Name": "by_customer_p1" });
    const append = (second: PlanNode) => read({ "Node Type": "Append", Plans: [first, second] });
    expect(goesThrough(append({ ...first, "Index Name": "by_customer_p2" }), ["by_customer"])).toBe(true);
    expect(goesThrough(append(scan("Seq Scan", { "Relation Name": "orders_2" })), ["by_customer"])).toBe(false);
  });

  test("a plan is covered if every scan is an Index Only Scan; rows it reads from the table are reported", () => {
    const only = indexScan({ "Node Type": "Index Only Scan", "Heap Fetches": 4 });
    expect(read(only)).toMatchObject({
      covered: true,
      advice: [expect.stringMatching(/read 4 rows from the table: VACUUM/)],
    });
    expect(read(indexScan()).covered).toBe(false);
    expect(read({ "Node Type": "Result" }).covered).toBe(false);
  });

  test("a scan without a condition is not bounded, unless the index is partial", () => {
    const whole = indexScan({ "Index Cond": "(orders.at > now())" });
    expect(goesThrough(read(whole), ["by_customer"], true)).toBe(false);
    expect(read(whole).advice).toEqual(["reads all of by_customer: nothing is compared with its first column"]);
    const { "Index Cond": _, ...partial } = indexScan({ "Index Name": "partial" });
    expect(goesThrough(read(partial as PlanNode), ["partial"], true)).toBe(true);
  });

  test("a plan that was not executed has no counters", () => {
    expect(read({ "Node Type": "Index Scan", "Index Name": "a" }).work).toBeUndefined();
  });
});

describe("FerretDB", () => {
  const custom = (child: PlanNode, bounds?: string): Record<string, unknown> => ({
    queryPlanner: {
      Plan: {
        "Node Type": "Custom Scan",
        IndexDetails: [{ indexName: child["Index Name"], ...(bounds ? { indexBounds: [bounds] } : {}) }],
        Plans: [child],
      },
    },
  });
  const bitmap = (index: string, condition: string): PlanNode => ({
    "Node Type": "Bitmap Heap Scan",
    Plans: [{ "Node Type": "Bitmap Index Scan", "Index Name": index, "Index Cond": condition }],
  });
  const found = "(document OPERATOR(documentdb_api_catalog.@=) 'BSONHEX140000'::documentdb_core.bson)";
  const hex = (document: object) => Buffer.from(BSON.serialize(document)).toString("hex");

  test("the index is in the nodes; counts and covered are unknown", () => {
    const facts = readFerretPlan(custom({ "Node Type": "Index Scan", "Index Name": "a", "Index Cond": found }));
    expect(facts).toEqual({
      accesses: [{ stage: "Index Scan", index: "a", bounded: true }],
      sorts: [],
      covered: undefined,
      work: undefined,
      advice: [],
    });
    expect(indexNames(readFerretPlan(custom(bitmap("b", found))))).toEqual(["b"]);
  });

  test("a scan by the primary key without a condition on _id reads everything", () => {
    const whole = readFerretPlan(custom(bitmap("_id_", "(shard_key_value = '2'::bigint)")));
    expect(goesThrough(whole, ["_id_"])).toBe(false);
    const one =
      "((shard_key_value = '2'::bigint) AND (object_id OPERATOR(documentdb_core.=) 'BSONHEX0b'::documentdb_core.bson))";
    expect(indexNames(readFerretPlan(custom(bitmap("_id_", one))))).toEqual(["_id_"]);
    expect(indexNames(readFerretPlan(custom(bitmap("collection_pk_2", one))))).toEqual(["_id_"]);
    expect(goesThrough(readFerretPlan(custom({ "Node Type": "Seq Scan" })), [])).toBe(false);
  });

  test("a hint for an unsuitable index is obeyed by reading all of it", () => {
    const full = `(document OPERATOR(documentdb_api_catalog.@<>) 'BSONHEX${hex({ tenant: { fullScan: true } })}'::documentdb_core.bson)`;
    const scanned = readFerretPlan(custom({ "Node Type": "Index Scan", "Index Name": "a", "Index Cond": full }));
    expect(goesThrough(scanned, ["a"], true)).toBe(false);
    const later = { "Node Type": "Index Scan", "Index Name": "a", "Index Cond": found };
    const bounds = (first: string) => readFerretPlan(custom(later, `["tenant": ${first}, "at": DESC["a", "b"]]`));
    expect(goesThrough(bounds("(MinKey, MaxKey)"), ["a"], true)).toBe(false);
    expect(goesThrough(bounds('["a", "a"]'), ["a"], true)).toBe(true);
  });

  test("a sort is reported by its keys; a sort that serves a grouping is not", () => {
    const sort = (key: string) =>
      readFerretPlan({
        queryPlanner: { Plan: { "Node Type": "Sort", "Sort Key": [key], Plans: [{ "Node Type": "Seq Scan" }] } },
      });
    const byTime = `(documentdb_api_catalog.bson_orderby(document, 'BSONHEX${hex({ at: -1 })}'::documentdb_core.bson)) USING >>>`;
    expect(sort(byTime).sorts).toEqual(['{"at":-1}']);
    expect(sort("(documentdb_api_internal.bson_expression_get(document, 'BSONHEX11'))").sorts).toEqual([]);
  });

  test("a plan for a missing collection reads nothing", () => {
    const facts = readFerretPlan({ queryPlanner: { Plan: { "Node Type": "Function Scan" } } });
    expect(facts.accesses).toEqual([]);
  });
});
