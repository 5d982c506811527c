import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Manifest } from "../../../src/indexes/manifest/manifest.ts";
import { readStats, type StatsReport } from "../../../src/indexes/stats/stats.ts";
import type { TargetReport } from "../../../src/indexes/stats/report.ts";
import { until } from "../../support/until.ts";
import { FORGET, type Scratch, scratch } from "./scratch.ts";
import { storageTold } from "./told.ts";

const manifest: Manifest = {
  version: 1,
  project: "stats",
  mongo: {
    events: [
      { name: "by_tenant", why: "test", keys: [["tenant", 1]] },
      { name: "by_kind", why: "test", keys: [["kind", 1]] },
    ],
  },
};

let own: Scratch;
beforeAll(async () => {
  own = await scratch();
  await own.mongo.collection("events").createIndexes([
    { key: { tenant: 1 }, name: "by_tenant" },
    { key: { kind: 1 }, name: "by_kind" },
    { key: { day: 1 }, name: "ttl", expireAfterSeconds: 1_000_000 },
  ]);
  const documents = Array.from({ length: 2_000 }, (_, n) => ({ tenant: `t${n}`, kind: n % 7, day: new Date() }));
  await own.mongo.collection("events").insertMany(documents);
});
afterAll(() => own.drop());
beforeEach(() => own.sql.query(FORGET));

async function stats(more: Partial<Parameters<typeof readStats>[0]> = {}) {
  const report = await readStats({ manifest, mongo: own.mongo, databaseUrl: own.databaseUrl, ...more });
  return { report, target: report.targets[0] as TargetReport };
}

const kinds = (report: StatsReport) => report.verdicts.map(({ kind, index }) => (index ? `${kind} ${index}` : kind));
const indexOf = (target: TargetReport, name: string) => target.indexes.find((index) => index.name === name);

test("sizes and counts are the server's, and figures it does not give are named", async () => {
  const isFerret = "ferretdb" in (await own.mongo.command({ buildInfo: 1 }));
  const events = own.mongo.collection("events");
  const [first, told] = await storageTold(own.mongo.databaseName, (mongo) => stats({ mongo }));
  expect(told).toHaveLength(1);
  const { count, storageSize, indexSizes } = told[0] ?? {};
  expect(first.target).toMatchObject({ rows: count as number, dataBytes: storageSize as number });
  expect(Object.fromEntries(first.target.indexes.map(({ name, bytes }) => [name, bytes]))).toEqual(indexSizes);
  expect(Object.keys(indexSizes as object).sort()).toEqual(["_id_", "by_kind", "by_tenant", "ttl"]);
  expect(indexOf(first.target, "_id_")?.guards).toContain("_id");
  expect(indexOf(first.target, "ttl")?.guards).toEqual(["ttl"]);
  const names = isFerret ? ["not available on FerretDB", "share of collection scans"] : [];
  expect(names.filter((name) => !first.target.unknown.join("; ").includes(name))).toEqual([]);

  // The server may scan an index by itself, and counts that too: then the samples are taken again.
  const scansOf = async (index: string) =>
    (await events.aggregate<{ name: string; accesses: { ops: number } }>([{ $indexStats: {} }]).toArray()).find(
      ({ name }) => name === index,
    )?.accesses.ops;
  const { target, report, aged, firstSample } = await until(
    "samples between which nothing else scans by_kind",
    async () => {
      await own.sql.query(FORGET);
      const before = await scansOf("by_kind");
      const { target: sampled } = await stats();
      for (let n = 0; n < 10; n += 1) await events.find({ tenant: `t${n}` }).toArray();
      await until("ten scans", async () => {
        const now = await stats();
        return (indexOf(now.target, "by_tenant")?.newScans ?? 0) >= 10;
      });
      const last = await stats();
      await own.sql.query("UPDATE public.tallyman_index_sample SET taken_at = taken_at - interval '31 days'");
      const aged = kinds((await stats()).report);
      return (await scansOf("by_kind")) === before && { ...last, aged, firstSample: sampled.firstSample };
    },
  );
  expect(indexOf(target, "by_tenant")?.unusedSince).toBeNull();
  expect(indexOf(target, "by_kind")).toMatchObject({ newScans: 0, unusedSince: firstSample });
  expect(kinds(report)).toEqual([]);
  // `_id_` and the TTL index were not scanned either.
  expect(aged).toEqual(["unused by_kind"]);
});

test("a missing collection is an alert, not an error", async () => {
  const gone: Manifest = {
    version: 1,
    project: "stats",
    mongo: { gone: [{ name: "a", why: "test", keys: [["a", 1]] }] },
  };
  const { report } = await stats({ manifest: gone });
  expect(report.verdicts).toMatchObject([{ level: "alert", kind: "missing", target: "gone" }]);
});
