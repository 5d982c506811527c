/** When an array in an indexed field is worth a warning, and what it says. */
import { describe, expect, test } from "vitest";
import type { PlanFacts } from "../../../../src/indexes/contract/plan-facts.ts";
import { arrayWarnings } from "../../../../src/indexes/engines/mongo/verify/multikey.ts";
import type { Query } from "../../../../src/indexes/engines/mongo/verify/sample.ts";
import type { Contract } from "../../../../src/indexes/manifest/manifest.ts";

const DAY = { $gte: new Date(0), $lt: new Date(86_400_000) };

function through(arrays: Readonly<Record<string, readonly string[]>>, index = "by_time"): PlanFacts {
  const accesses = [{ stage: "IXSCAN", index, bounded: true, arrays }];
  return { accesses, sorts: [], covered: false, work: undefined, advice: [] };
}

const warned = (query: Query, plan: PlanFacts | undefined, contract: Partial<Contract> = {}, forced?: PlanFacts) =>
  arrayWarnings("events", { name: "c", ...contract }, query, ["by_time"], [plan, forced]).map(
    ({ sentence }) => sentence,
  );
const find = (filter: Record<string, unknown>, more: Partial<Contract["find"]> = {}): Query => ({
  find: { filter, ...more },
});

test("the warning names the index, the fields, how to find the documents, and how to build the index again", () => {
  expect(warned(find({ tenant: "a", at: DAY }), through({ at: ["at"] }))).toEqual([
    "by_time is multikey: a document has or had an array in at, so the server reads far more of the index than the query " +
      'asks for. Find such documents with db.getCollection("events").find({ at: { $type: "array" } }) and mend them. Only ' +
      "a new build takes the mark away: while nothing reads through it, " +
      'db.getCollection("events").dropIndex("by_time"), then run: tallyman indexes ensure.',
  ]);
  const [both] = warned(find({ at: DAY }), through({ at: ["tenant", "at"] }));
  expect(both).toContain("an array in tenant or at,");
  expect(both).toContain('.find({ $or: [{ tenant: { $type: "array" } }, { at: { $type: "array" } }] })');
});

describe("two conditions on a field that had arrays", () => {
  const hadArrays = through({ at: ["at"] });

  test.each<[string, Query]>([
    ["in one", find({ at: DAY })],
    ["in an $and", find({ $and: [{ at: { $gte: 1 } }, { at: { $lt: 2 } }] })],
    ["in a branch of an $or", find({ $or: [{ tenant: "a" }, { at: DAY }] })],
    ["in a count", { count: { at: DAY } }],
    ["in a pipeline's first stage", { aggregate: [{ $match: { at: DAY } }, { $count: "n" }] }],
  ])("%s are worth a warning", (_how, query) => {
    expect(warned(query, hadArrays)).toHaveLength(1);
  });

  test("are worth one where only the plan with a hint goes through the index", () => {
    expect(warned(find({ at: DAY }), undefined, {}, hadArrays)).toHaveLength(1);
  });
});

test("arrays that are meant draw no warning: an equality, an $elemMatch, a field that the query does not compare twice", () => {
  const tags = through({ tags: ["tags"] });
  for (const filter of [{ tags: "x" }, { tags: { $elemMatch: { $gte: 1, $lt: 2 } } }, { tags: "x", at: DAY }]) {
    expect(warned(find(filter), tags), JSON.stringify(filter)).toEqual([]);
  }
});

test("an order or a covered answer that arrays prevent is worth a warning where the contract promises it", () => {
  const hadArrays = through({ at: ["at"] });
  const newest = find({ tenant: "a" }, { sort: { at: -1 } });
  expect(warned(newest, hadArrays, { noSort: true })).toHaveLength(1);
  expect(warned(newest, hadArrays)).toEqual([]);
  const piped = { aggregate: [{ $match: { tenant: "a" } }, { $sort: { at: -1 } }] };
  expect(warned(piped, hadArrays, { noSort: true })).toHaveLength(1);
  const times = find({ tenant: "a" }, { projection: { _id: 0, at: 1 } });
  expect(warned(times, hadArrays, { covered: true })).toHaveLength(1);
  expect(warned(times, hadArrays)).toEqual([]);
});

test("an index that the contract is not about draws no warning", () => {
  expect(warned(find({ at: DAY }), through({ at: ["at"] }, "other"))).toEqual([]);
});
