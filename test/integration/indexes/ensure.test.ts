import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { usageManifest } from "../../../manifests/usage.ts";
import { ensureIndexes, type EnsureOptions } from "../../../src/indexes/ensure/ensure.ts";
import { select } from "../../../src/indexes/manifest/selection.ts";
import type { Manifest, EngineName } from "../../../src/indexes/manifest/manifest.ts";
import { cacheIndexes, makeCache, type Scratch, scratch } from "./scratch.ts";

const EVENTS = "token_usage_events";
const fields = { tenant_id: "tenant_id", user_id: "user_id", created_at: "created_at" };
const manifest = usageManifest({ collection: EVENTS, fields });

let own: Scratch;
beforeAll(async () => {
  own = await scratch();
});
afterAll(() => own.drop());
beforeEach(async () => {
  await own.mongo.collection(EVENTS).drop();
  await makeCache(own.sql);
});

function ensure({ engine, ...options }: Partial<EnsureOptions> & { engine?: EngineName } = {}) {
  return ensureIndexes({
    manifest: select(manifest, { engine }),
    mongo: own.mongo,
    databaseUrl: own.databaseUrl,
    ...options,
  });
}

function actions(report: Awaited<ReturnType<typeof ensure>>) {
  return Object.fromEntries(report.entries.map(({ name, action }) => [name, action]));
}

async function eventIndexes() {
  const indexes = await own.mongo.collection(EVENTS).listIndexes().toArray();
  return indexes.map(({ name, key }) => [name as string, Object.entries(key as Record<string, unknown>)]);
}

const sample = () => [{ tenant_id: "t", user_id: "u", created_at: new Date(0) }];

test("the first run creates the indexes, ten more find everything present and change nothing", async () => {
  const first = await ensure();
  expect(first.ok).toBe(true);
  expect(actions(first)).toEqual({
    idx_tenant_date: "created",
    idx_tenant_user_date: "created",
    daily_usage_cache_pkey: "present",
    idx_daily_usage_cache_date: "created",
    idx_daily_usage_cache_date_cached_at: "created",
    idx_daily_usage_cache_user_jsonb: "created",
    idx_daily_usage_cache_model_jsonb: "created",
    idx_daily_usage_cache_provider_jsonb: "created",
  });
  expect(await eventIndexes()).toEqual([
    ["_id_", [["_id", 1]]],
    [
      "idx_tenant_date",
      [
        ["tenant_id", 1],
        ["created_at", -1],
      ],
    ],
    [
      "idx_tenant_user_date",
      [
        ["tenant_id", 1],
        ["user_id", 1],
        ["created_at", -1],
      ],
    ],
  ]);
  const before = await cacheIndexes(own.sql);
  expect(before.every(({ valid }) => valid)).toBe(true);

  for (let run = 0; run < 10; run += 1) {
    const again = await ensure();
    expect(new Set(again.entries.map(({ action }) => action))).toEqual(new Set(["present"]));
    expect(again.ok).toBe(true);
  }
  expect(await cacheIndexes(own.sql)).toEqual(before);
});

test("four processes at once build each index once", async () => {
  const reports = await Promise.all([ensure(), ensure(), ensure(), ensure()]);
  const entries = reports.flatMap((report) => report.entries);
  expect(reports.every(({ ok }) => ok)).toBe(true);
  expect(entries.filter(({ action }) => action === "created")).toHaveLength(7);
  expect(entries.filter(({ action }) => action === "present")).toHaveLength(4 * 8 - 7);
});

test("one engine alone leaves the other as it is", async () => {
  const report = await ensure({ engine: "postgres" });
  expect(report.entries.map(({ engine }) => engine)).toEqual(Array(6).fill("postgres"));
  expect(await own.mongo.listCollections({ name: EVENTS }).toArray()).toEqual([]);
});

test("a name with another definition is reported and left alone, in both databases", async () => {
  await own.sql.query("CREATE INDEX idx_daily_usage_cache_date ON daily_usage_cache (date, tenant_id DESC)");
  await own.mongo.collection(EVENTS).createIndex({ created_at: -1, tenant_id: 1 }, { name: "idx_tenant_date" });
  const before = [(await cacheIndexes(own.sql)).find(({ name }) => name.endsWith("_date")), (await eventIndexes())[1]];

  const report = await ensure();
  expect(report.ok).toBe(false);
  expect(actions(report)).toMatchObject({
    idx_tenant_date: "different",
    idx_daily_usage_cache_date: "different",
    idx_tenant_user_date: "created",
    idx_daily_usage_cache_user_jsonb: "created",
  });
  const details = report.entries.filter(({ action }) => action === "different").map(({ detail }) => detail);
  expect(details).toEqual([expect.stringMatching(/^keys: /), 'order: declared "0 0", found "0 3"']);
  expect([(await cacheIndexes(own.sql)).find(({ name }) => name.endsWith("_date")), (await eventIndexes())[1]]).toEqual(
    before,
  );
});

test("an equal index under another name does the work", async () => {
  await own.sql.query("CREATE INDEX by_day ON daily_usage_cache (date, tenant_id)");
  await own.mongo.collection(EVENTS).createIndex({ tenant_id: 1, created_at: -1 }, { name: "theirs" });
  const report = await ensure();
  expect(report.ok).toBe(true);
  expect(report.entries.filter(({ detail }) => detail !== undefined)).toMatchObject([
    { name: "idx_tenant_date", action: "present", detail: "as theirs" },
    { name: "idx_daily_usage_cache_date", action: "present", detail: "as by_day" },
  ]);
});

test("on a server that blocks writers an index is built only with allowBlocking or on an empty collection", async () => {
  await own.mongo.collection(EVENTS).insertMany(sample());
  const blocking = "ferretdb" in (await own.mongo.command({ buildInfo: 1 }));
  const first = await ensure({ engine: "mongodb" });
  expect(first.ok).toBe(!blocking);
  expect(first.entries.map(({ action }) => action)).toEqual(Array(2).fill(blocking ? "refused" : "created"));
  expect(await eventIndexes()).toHaveLength(blocking ? 1 : 3);

  const second = await ensure({ engine: "mongodb", allowBlocking: true });
  expect(second.entries.map(({ action }) => action)).toEqual(Array(2).fill(blocking ? "created" : "present"));
  // What is there already is no build, so it needs no leave.
  expect((await ensure({ engine: "mongodb" })).ok).toBe(true);
});

test("a missing primary key is left to a migration, and one of another collation is different", async () => {
  await own.sql.query("ALTER TABLE daily_usage_cache DROP CONSTRAINT daily_usage_cache_pkey");
  const missing = await ensure({ engine: "postgres" });
  expect(missing.entries[0]).toMatchObject({ name: "daily_usage_cache_pkey", action: "failed" });
  expect(missing.entries[0]?.detail).toMatch(/primary constraint is missing/);

  await own.sql.query('ALTER TABLE daily_usage_cache ALTER tenant_id TYPE text COLLATE "POSIX"');
  await own.sql.query("ALTER TABLE daily_usage_cache ADD PRIMARY KEY (tenant_id, date)");
  const other = await ensure({ engine: "postgres" });
  expect(other.entries[0]).toMatchObject({ name: "daily_usage_cache_pkey", action: "different" });
});

test("a missing table or function fails its own indexes, with the server's words", async () => {
  await own.sql.query("DROP TABLE daily_usage_cache");
  const report = await ensure();
  expect(actions(report)).toMatchObject({ idx_tenant_date: "created", idx_daily_usage_cache_date: "failed" });
  expect(report.entries.at(-1)?.detail).toMatch(/no such table; run the migrations/);

  await makeCache(own.sql);
  await own.sql.query("ALTER FUNCTION usage_keys RENAME TO other_keys");
  const without = await ensure({ engine: "postgres" });
  await own.sql.query("ALTER FUNCTION other_keys RENAME TO usage_keys");
  expect(actions(without)).toMatchObject({
    idx_daily_usage_cache_date: "created",
    idx_daily_usage_cache_user_jsonb: "failed",
  });
  expect(without.entries.at(-1)?.detail).toMatch(/function usage_keys\(jsonb\) does not exist/);
});

test("a definition that the server writes in its own way is not different, run after run", async () => {
  const rewritten: Manifest = {
    version: 1,
    project: "test",
    createCollections: true,
    mongo: {
      [EVENTS]: [
        { name: "partial", why: "test", keys: [["a", 1]], partial: { b: 1, c: { $gt: 2 } } },
        { name: "ttl", why: "test", keys: [["created_at", 1]], expireAfterSeconds: 86_400 },
        { name: "sparse", why: "test", keys: [["d", -1]], sparse: true, unique: true },
        { name: "text", why: "test", keys: [["e", "text"]], weights: { e: 3 } }, // prettier-ignore
      ],
    },
    postgres: {
      "public.daily_usage_cache": [
        { name: "by_kind", why: "test", columns: ["date"], where: "kind IN ('P', 'Q')" },
        { name: "Late", why: "test", columns: [{ expr: "lower(state)", opclass: "text_pattern_ops", desc: true }] },
      ],
    },
  };
  const names = ["partial", "ttl", "sparse", "text", "by_kind", "Late"];
  const all = (action: string) => Object.fromEntries(names.map((name) => [name, action]));
  expect(actions(await ensure({ manifest: rewritten }))).toEqual(all("created"));
  const before = await cacheIndexes(own.sql);
  for (let run = 0; run < 10; run += 1) {
    expect(actions(await ensure({ manifest: rewritten }))).toEqual(all("present"));
  }
  expect(await cacheIndexes(own.sql)).toEqual(before);
});

test("a unique index over duplicates fails, names some of them and leaves nothing", async () => {
  const unique: Manifest = {
    version: 1,
    project: "test",
    createCollections: true,
    mongo: { [EVENTS]: [{ name: "one", why: "test", unique: true, keys: [["tenant_id", 1]] }] },
    postgres: { "public.daily_usage_cache": [{ name: "one", why: "test", unique: true, columns: ["date"] }] },
  };
  await own.mongo.collection(EVENTS).insertMany([...sample(), ...sample()]);
  const report = await ensure({ manifest: unique, allowBlocking: true });
  expect(report.entries.map(({ action }) => action)).toEqual(["failed", "failed"]);
  expect(report.entries[0]?.detail).toMatch(/^not unique: \(tenant_id\) occurs as \(t\) 2 times\. Remove/);
  expect(report.entries[1]?.detail).toMatch(/^not unique: \(date\) occurs as \(2026-01-\d\d\) 20 times, /);
  expect((await cacheIndexes(own.sql)).map(({ name }) => name)).toEqual(["daily_usage_cache_pkey"]);
  expect(await eventIndexes()).toHaveLength(1);
});
