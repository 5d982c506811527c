/** Contracts on a real MongoDB, or the FerretDB that stands for it, which plans and does not count. */
import { type Document, ObjectId } from "mongodb";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { ensureIndexes } from "../../../src/indexes/ensure/ensure.ts";
import type { Contract, Manifest, MongoIndex } from "../../../src/indexes/manifest/manifest.ts";
import { verifyIndexes, type VerifyEntry, type VerifyOptions } from "../../../src/indexes/verify/verify.ts";
import { scratch, type Scratch } from "./scratch.ts";
import { HANG_MS } from "./timeless.ts";

const COMPANIES = Array.from({ length: 10 }, () => new ObjectId());
const INDEXES: readonly Omit<MongoIndex, "why">[] = [
  { name: "by_network", keys: [["companyId", 1], ["social.id", 1]] }, // prettier-ignore
  { name: "by_time", keys: [["companyId", 1], ["at", -1]] }, // prettier-ignore
  { name: "retries", keys: [["email", 1]], partial: { status: "retry", n: { $gte: 0 } } },
];

let own: Scratch;
let isFerret: boolean;
beforeAll(async () => {
  own = await scratch();
  isFerret = "ferretdb" in (await own.mongo.command({ buildInfo: 1 }));
});
afterAll(() => own.drop());
beforeEach(async () => {
  await own.mongo.collection("contacts").drop();
});

/** Every third contact is in no network, every fourth has no address, one in ten is to be tried again. */
async function insert(count: number): Promise<void> {
  const contacts = Array.from({ length: count }, (_, n): Document => ({
    companyId: COMPANIES[n % 10],
    social: n % 3 === 0 ? null : { id: `f${n}` },
    ...(n % 4 === 0 ? {} : { email: `e${n}` }),
    status: n % 10 === 3 ? "retry" : "done",
    at: new Date(Date.UTC(2026, 0, 1) + n * 600_000),
    n,
  }));
  await own.mongo.collection("contacts").insertMany(contacts);
}

function manifestOf(
  contracts: Readonly<Record<string, readonly Partial<Contract>[]>>,
  queries: readonly Contract[] = [],
): Manifest {
  const indexes = INDEXES.map((index) => ({
    ...index,
    why: "test",
    contracts: (contracts[index.name] ?? []).map((contract, n) => ({ name: `c${n}`, ...contract })),
  }));
  return {
    version: 1,
    project: "test",
    createCollections: true,
    mongo: { contacts: indexes },
    queries: { contacts: queries },
  };
}

/** Ensures the indexes first. */
async function verify(manifest: Manifest, options: Partial<VerifyOptions> = {}) {
  const targets = { manifest, mongo: own.mongo, databaseUrl: own.databaseUrl };
  await ensureIndexes({ ...targets, allowBlocking: true });
  return verifyIndexes({ ...targets, limitMs: HANG_MS, ...options });
}

async function verdictsOf(index: string, ...contracts: Partial<Contract>[]): Promise<VerifyEntry[]> {
  return (await verify(manifestOf({ [index]: contracts }))).entries;
}

test("all values come from one document, with their types", async () => {
  await insert(500);
  const range = { $gte: "$p:from", $lt: "$p:to" };
  const entries = await verdictsOf(
    "by_time",
    { find: { filter: { companyId: "$p:company", at: range } } },
    { count: { companyId: { $in: ["$p:company"] }, at: range } },
    { aggregate: [{ $match: { $and: [{ companyId: { $in: "$p:companies" } }, { at: range }] } }, { $count: "n" }] },
    {
      maxMs: HANG_MS,
      find: { filter: { companyId: "$p:company", at: range }, limit: 2 },
      params: { from: { sample: "at", shift: "-1s" }, to: { sample: "at", shift: "+1s" } },
    },
  );
  expect(entries.map(({ verdict, ok, used }) => [verdict, ok, used])).toEqual(
    Array(4).fill(["uses", true, ["by_time"]]),
  );
  // One document has that time.
  expect(entries[3]?.returned).toBe(1);
  // The document that was drawn has an answer: a string in the place of an ObjectId would find nothing.
  const [nested] = await verdictsOf("by_network", {
    maxExaminedPerReturned: 1,
    maxMs: HANG_MS,
    find: { filter: { companyId: "$p:company", "social.id": "$p:id" }, limit: 1 },
  });
  expect(nested).toMatchObject({ verdict: "uses", ok: true, unchecked: isFerret ? ["examined per returned"] : [] });
  expect(nested).toMatchObject({ returned: 1, examined: isFerret ? null : 1 });
  expect(nested?.ms).toBeGreaterThan(0);
});

test("figures that the server does not count are reported as unchecked, and so is a sort order that it never serves", async () => {
  await insert(500);
  const [entry] = await verdictsOf("by_time", {
    maxExaminedPerReturned: 1.1,
    noSort: true,
    covered: true,
    find: { filter: { companyId: "$p:company" }, sort: { at: -1 }, projection: { _id: 0, at: 1 } },
  });
  expect(entry).toMatchObject({ verdict: "uses", ok: true });
  expect(entry?.unchecked).toEqual(isFerret ? ["no sort", "examined per returned", "covered"] : []);
});

test("a full scan counts as no index, not even as _id", async () => {
  await insert(500);
  const queries: Contract[] = [
    { name: "all", mode: "cannot", because: "it wants all", find: { filter: {} } },
    { name: "unindexed", find: { filter: { n: "$p:n" } } },
    { name: "by id", find: { filter: { _id: "$p:id" } } },
  ];
  const { entries, ok } = await verify(manifestOf({}, queries));
  expect(entries).toMatchObject([
    { index: null, verdict: "cannot use", ok: true, why: ["it wants all"] },
    { index: null, verdict: "cannot use", ok: false, why: [expect.stringMatching(/^reads everything/)] },
    { index: null, verdict: "uses", ok: true, used: ["_id_"] },
  ]);
  expect(ok).toBe(false);
});

test("a missing term of a partial filter is named, and no other", async () => {
  await insert(500);
  const address = { email: "$p:email" };
  const [implied, half, none, piped] = await verdictsOf(
    "retries",
    { find: { filter: { ...address, status: "retry", n: { $gt: 3 } } } },
    { find: { filter: { ...address, n: { $gt: 3 } } } },
    { count: address },
    { aggregate: [{ $match: { ...address, status: "retry" } }, { $count: "n" }] },
  );
  expect(implied).toMatchObject({ verdict: "uses", ok: true });
  expect([half, none, piped].map((entry) => [entry?.verdict, entry?.why])).toEqual([
    ["cannot use", ['the query does not imply the index\'s filter: add {"status":"retry"}']],
    ["cannot use", ['the query does not imply the index\'s filter: add {"status":"retry"}, {"n":{"$gte":0}}']],
    ["cannot use", ['the query does not imply the index\'s filter: add {"n":{"$gte":0}}']],
  ]);
});

test("a hint for an index that lacks documents of the result proves nothing", async () => {
  await insert(500);
  const partial = { at: { $gte: new Date("2026-01-02") } };
  const keys = [["status", 1], ["at", -1]] as const; // prettier-ignore
  const contract = (filter: Record<string, unknown>): Contract => ({
    name: JSON.stringify(filter),
    noSort: true,
    find: { filter, sort: { at: -1 }, limit: 50 },
  });
  const implied = { status: "$p:status", at: { $gte: new Date("2026-01-03") } };
  const contracts = [contract({ status: "$p:status" }), contract(implied)];
  const index = { name: "since", why: "test", keys, partial, contracts };
  const { entries } = await verify({
    version: 1,
    project: "test",
    createCollections: true,
    mongo: { contacts: [index] },
  });
  expect(entries).toMatchObject([
    {
      verdict: "cannot use",
      ok: false,
      why: [expect.stringMatching(/does not imply the index's filter: add \{"at":/)],
    },
    { ok: true },
  ]);
  expect(entries[1]?.verdict).toMatch(/^(uses|could use)$/);
});

test("a query without a condition on the first key reads at best the whole index", async () => {
  await insert(500);
  const [entry] = await verdictsOf("by_time", { find: { filter: { at: { $gte: "$p:from" } } } });
  expect(entry).toMatchObject({
    verdict: "cannot use",
    ok: false,
    why: ["the query compares nothing with the index's first key, companyId"],
  });
});

test("of two indexes that serve a query equally, one is used and the other could be", async () => {
  await insert(500);
  const contract = { find: { filter: { companyId: "$p:company" } } };
  const { entries, ok } = await verify(manifestOf({ by_network: [contract], by_time: [contract] }));
  expect(entries.map(({ verdict }) => verdict).sort()).toEqual(["could use", "uses"]);
  expect(ok).toBe(true);
});

test("a server whose planner ignores the sort order is not judged by it, even with many documents", async () => {
  await insert(10_000);
  const of = (field: string): Partial<Contract> => ({
    noSort: true,
    find: { filter: { companyId: "$p:company" }, sort: { [field]: -1 }, limit: 5 },
  });
  const { entries, ok } = await verify(manifestOf({ by_network: [of("social.id")], by_time: [of("at")] }));
  expect(ok, JSON.stringify(entries)).toBe(true);
  if (isFerret)
    expect(entries.flatMap(({ advice }) => advice)).toEqual([
      expect.stringMatching(/its planner ignores the sort order$/),
    ]);
  else expect(entries.map(({ verdict }) => verdict)).toEqual(["uses", "uses"]);
});

test("an equal index under another name does the work; a missing one breaks the contract", async () => {
  await insert(500);
  const contacts = own.mongo.collection("contacts");
  await contacts.createIndex({ companyId: 1, at: -1 }, { name: "theirs" });
  const contract = { find: { filter: { companyId: "$p:company", at: "$p:at" } } };
  const [theirs] = await verdictsOf("by_time", contract);
  expect(theirs).toMatchObject({ index: "by_time", verdict: "uses", ok: true, used: ["theirs"] });
  await contacts.dropIndex("theirs");
  const targets = { manifest: manifestOf({ by_time: [contract] }), mongo: own.mongo, databaseUrl: own.databaseUrl };
  const [gone] = (await verifyIndexes(targets)).entries;
  expect(gone).toMatchObject({ verdict: "cannot use", ok: false, why: ["there is no index by_time"] });
});

test("an empty collection could use its indexes; a missing collection breaks the contract", async () => {
  const contracts = {
    by_network: [{ find: { filter: { companyId: "$p:company", "social.id": "$p:id" } } }],
    by_time: [
      {
        noSort: true as const,
        find: { filter: { companyId: "$p:c", at: { $gte: "$p:from" } }, sort: { at: -1 as const } },
      },
    ],
    retries: [{ find: { filter: { email: "$p:email", status: "retry", n: { $gt: 3 } } } }],
  };
  const { entries, ok } = await verify(manifestOf(contracts));
  expect(entries.map(({ verdict }) => verdict)).toEqual(Array(3).fill("could use"));
  expect(ok).toBe(true);
  const [sampled] = await verdictsOf("retries", { find: { filter: { email: "$p:email" } } });
  expect(sampled).toMatchObject({ verdict: "no data", ok: true });

  const targets = { manifest: manifestOf(contracts), mongo: own.mongo, databaseUrl: own.databaseUrl };
  await own.mongo.collection("contacts").dropIndex("by_network");
  const [unindexed] = (await verifyIndexes(targets)).entries;
  expect(unindexed).toMatchObject({ verdict: "cannot use", ok: false, why: ["there is no index by_network"] });

  await own.mongo.collection("contacts").drop();
  const [missing] = (await verifyIndexes(targets)).entries;
  expect(missing).toMatchObject({ ok: false, why: ["there is no such collection"] });
});

test("a query that the server refuses or that takes longer than promised breaks its contract", async () => {
  await insert(500);
  const [refused, slow] = await verdictsOf(
    "by_time",
    { find: { filter: { $nonsense: 1 } } },
    { maxMs: 0.001, find: { filter: { companyId: "$p:company" } } },
  );
  expect(refused).toMatchObject({
    ok: false,
    why: [expect.stringMatching(/^the server refuses the query: .*nonsense/)],
  });
  expect(slow).toMatchObject({
    verdict: "uses",
    ok: false,
    why: [expect.stringMatching(/^takes .* ms; the contract promises 0.001 ms$/)],
  });
});

test("a rolling index is verified by its declared name, and until the current window exists by the one before it", async () => {
  await insert(500);
  const rolling = { column: "at", keep: "1 month", rotate: "monthly" } as const;
  // A filter may hold dates, which a parameter cannot.
  const contracts = [{ name: "recent", find: { filter: { n: "$p:n", at: { $gte: new Date("2026-01-20") } } } }];
  const recent = { name: "recent", why: "test", keys: [["n", 1]], rolling, contracts } as const;
  const bound = (month: number) => ({ partialFilterExpression: { at: { $gte: new Date(Date.UTC(2025, month, 1)) } } });
  await own.mongo.collection("contacts").createIndex({ n: 1 }, { name: "recent__2026_01", ...bound(11) });
  const manifest: Manifest = { version: 1, project: "test", mongo: { contacts: [recent] } };
  const check = (now: string) =>
    verifyIndexes({
      manifest,
      mongo: own.mongo,
      databaseUrl: own.databaseUrl,
      now: new Date(now),
      only: { indexes: ["recent"] },
    });
  expect((await check("2026-01-15")).entries).toMatchObject([
    { index: "recent__2026_01", verdict: "uses", used: ["recent__2026_01"] },
  ]);
  expect((await check("2026-02-15")).entries).toMatchObject([
    { index: "recent__2026_02", verdict: "uses", used: ["recent__2026_01"] },
  ]);
  expect((await check("2025-12-15")).entries).toMatchObject([
    { verdict: "cannot use", why: ["there is no index recent__2025_12"] },
  ]);
});

test("an array in a field of a range is warned of until the document is mended and the index is built again", async () => {
  await insert(500);
  const manifest = manifestOf({
    by_time: [{ find: { filter: { companyId: "$p:company", at: { $gte: "$p:from", $lt: "$p:to" } } } }],
  });
  const warned = async () => (await verify(manifest)).entries.flatMap(({ warnings }) => warnings);
  const contacts = own.mongo.collection("contacts");
  expect(await warned()).toEqual([]);

  const { insertedId } = await contacts.insertOne({ companyId: COMPANIES[0], at: [new Date(), new Date(0)] });
  const [warning, ...more] = await warned();
  expect(more).toEqual([]);
  expect(warning?.kind).toBe("multikey");
  expect(warning?.sentence).toMatch(/^by_time is multikey: .* an array in .*\bat\b.*dropIndex\("by_time"\)/);

  await contacts.updateOne({ _id: insertedId }, { $set: { at: new Date() } });
  await contacts.dropIndex("by_time");
  expect(await warned()).toEqual([]);
});
