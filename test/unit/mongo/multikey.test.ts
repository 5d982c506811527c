import { expect, test } from "vitest";
import { multikeyPaths } from "../../../src/mongo/multikey.ts";

const scan = (paths: object, isMultiKey = true) => ({
  stage: "IXSCAN",
  keyPattern: { tenant_id: 1, created_at: -1 },
  indexName: "idx_tenant_date",
  isMultiKey,
  multiKeyPaths: paths,
  indexBounds: { tenant_id: ['["", ""]'], created_at: ["[MaxKey, new Date(0)]"] },
});

test("the fields with arrays are found in every shape of a plan", () => {
  const plain = scan({ tenant_id: [], created_at: ["created_at"] });
  const classic = { queryPlanner: { winningPlan: { stage: "FETCH", inputStage: plain } } };
  const slotBased = {
    queryPlanner: { winningPlan: { queryPlan: { stage: "FETCH", inputStage: plain }, slotBasedPlan: {} } },
  };
  const sharded = { queryPlanner: { winningPlan: { stage: "SHARD_MERGE", shards: [{ winningPlan: plain }] } } };
  for (const reply of [classic, slotBased, sharded]) expect(multikeyPaths(reply)).toEqual(["created_at"]);
});

test("of a nested field the document on the way counts that holds the array", () => {
  expect(multikeyPaths(scan({ tenant_id: [], "meta.at": ["meta"] }))).toEqual(["meta"]);
});

test("an index without paths names all its fields; one that is not multikey, none", () => {
  const { multiKeyPaths: _, ...old } = scan({});
  expect(multikeyPaths(old)).toEqual(["tenant_id", "created_at"]);
  expect(multikeyPaths(scan({ tenant_id: [], created_at: [] }, false))).toEqual([]);
  expect(multikeyPaths(undefined)).toEqual([]);
});
