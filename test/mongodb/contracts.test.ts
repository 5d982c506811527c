/** Verdicts on contracts, from the plans of this server. */
import { beforeAll, expect, test } from "vitest";
import { MongoVerifier } from "../../src/indexes/engines/mongo/verify/verifier.ts";
import type { Contract } from "../../src/indexes/manifest/manifest.ts";
import { serverOf } from "../../dev/check-mongodb/try-all.ts";
import { useMongoWorld } from "../support/mongo-world.ts";
import { sampleEvents } from "../support/sample.ts";

const HANG_MS = 600_000;
const world = useMongoWorld("contracts");
let isFerret: boolean;
beforeAll(async () => {
  isFerret = (await serverOf(world.db)).isFerret;
  const start = Date.UTC(2026, 2, 1);
  await world.insert(
    sampleEvents(2_000, (n) => ({ tenant_id: `t${n % 20}`, created_at: new Date(start + n * 60_000), n })),
  );
});

const verdictOf = (contract: Contract, own?: string) =>
  new MongoVerifier(world.db, HANG_MS).verify(world.events.collectionName, contract, {
    accepted: own === undefined ? [] : [own],
    own,
  });

const TIME = { $gte: "$p:from", $lt: "$p:to" };
const params = { from: { sample: "created_at", shift: "-1h" }, to: { sample: "created_at", shift: "+1h" } };

test("a rebuild's aggregation uses the tenant/date index, and reads little more than it returns", async () => {
  const $match = { tenant_id: "$p:tenant", created_at: TIME };
  const aggregate = [{ $match }, { $group: { _id: "$model", n: { $sum: 1 } } }];
  const verdict = await verdictOf(
    { name: "rebuild", maxExaminedPerReturned: 1.1, aggregate, params },
    "idx_tenant_date",
  );
  expect(verdict).toMatchObject({ verdict: "uses", ok: true, used: ["idx_tenant_date"] });
  expect(verdict.unchecked).toEqual(isFerret ? ["examined per returned"] : []);
});

test("a query of the newest events of a tenant sorts nothing, where the server says so", async () => {
  const find = { filter: { tenant_id: "$p:tenant" }, sort: { created_at: -1 as const }, limit: 5 };
  const verdict = await verdictOf({ name: "newest", noSort: true, find }, "idx_tenant_date");
  expect(verdict).toMatchObject({ verdict: "uses", ok: true });
  expect(verdict.unchecked).toEqual(isFerret ? ["no sort"] : []);
});

test("a query of a field without an index reads everything, and a range of times alone does not use the index", async () => {
  expect(await verdictOf({ name: "by n", find: { filter: { n: "$p:n" } } })).toMatchObject({
    verdict: "cannot use",
    ok: false,
  });
  const byTime = { name: "by time", find: { filter: { created_at: TIME } }, params } as Contract;
  expect(await verdictOf(byTime, "idx_tenant_date")).toMatchObject({ verdict: "cannot use", ok: false });
});
