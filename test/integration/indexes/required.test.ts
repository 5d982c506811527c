/** No rebuild without the indexes that it stands on, whatever they are called. */
import { MongoClient, type Db } from "mongodb";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { requireIndexes } from "../../../src/indexes/required.ts";
import { usageManifest } from "../../../manifests/usage.ts";
import { Services } from "../../../src/services.ts";
import { useWorld } from "../../support/world.ts";
import { doRun, plannedRun, workOn } from "../fencing/runs.ts";
import { jobContext } from "../../support/job-context.ts";

const KEYS = { tenant_id: 1, created_at: -1 } as const;
const DAY = { from: "2026-01-05", to: "2026-01-05", tenants: ["t"] } as const;

const world = useWorld("required");
let client: MongoClient;
let database: Db;
beforeAll(async () => {
  client = await MongoClient.connect(world.env["MONGODB_URI"] ?? "");
  database = client.db();
  await world.insert([{ tenant_id: "t", created_at: new Date("2026-01-05T10:00:00Z"), total_tokens: 1 }]);
});
afterAll(async () => {
  await client.close();
});
beforeEach(async () => {
  await world.events.dropIndexes();
  await world.events.createIndex(KEYS, { name: "whatever" });
});

const look = () => {
  const { eventsCollection: collection, eventsFields: fields } = world.config;
  return requireIndexes(usageManifest({ collection, fields }), database, world.pool);
};

test("a required index is found by its keys, under any name", async () => {
  const serving = await look();
  expect(serving.get("token_usage_events")?.get("idx_tenant_date")).toBe("whatever");
});

test("of two that serve the required one, that with its own name is taken", async () => {
  await world.events.createIndex(KEYS, { name: "idx_tenant_date", unique: true });
  const serving = await look();
  expect(serving.get("token_usage_events")?.get("idx_tenant_date")).toBe("idx_tenant_date");
});

test("one over a part of the events beside it, with the same keys, changes nothing", async () => {
  const late = { created_at: { $gte: new Date("2030-01-01") } };
  await world.events.createIndex(KEYS, { name: "idx_tenant_date_recent", partialFilterExpression: late });
  expect((await look()).get("token_usage_events")?.get("idx_tenant_date")).toBe("whatever");
});

test.each([
  ["other keys", { tenant_id: 1, created_at: 1 }, {}],
  ["a part of the events", KEYS, { partialFilterExpression: { tenant_id: { $gt: "m" } } }],
  ["sparse", KEYS, { sparse: true }],
])("an index of %s does not serve as the required one", async (_what, keys, options) => {
  await world.events.dropIndexes();
  await world.events.createIndex(keys, options);
  await expect(look()).rejects.toThrow(
    /^token_usage_events has no usable index \{"tenant_id":1,"created_at":-1\} .* Run: tallyman indexes ensure$/,
  );
});

test("a hidden index does not serve as the required one", async () => {
  await database.command({ collMod: "token_usage_events", index: { name: "whatever", hidden: true } });
  await expect(look()).rejects.toThrow(/has no usable index/);
});

test("the primary key of the upsert is required too", async () => {
  const [{ name }] = (
    await world.pool.query<{ name: string }>(
      "SELECT conname AS name FROM pg_constraint WHERE conrelid = 'daily_usage_cache'::regclass AND contype = 'p'",
    )
  ).rows as [{ name: string }];
  await world.pool.query(`ALTER TABLE daily_usage_cache DROP CONSTRAINT ${name}`);
  await expect(look()).rejects.toThrow(
    /^public\.daily_usage_cache has no usable index as daily_usage_cache_pkey .*migration/,
  );
  await world.pool.query("CREATE UNIQUE INDEX another_name ON daily_usage_cache (tenant_id, date)");
  expect((await look()).size).toBe(1);
  await world.pool.query("DROP INDEX another_name");
  await world.pool.query(`ALTER TABLE daily_usage_cache ADD CONSTRAINT ${name} PRIMARY KEY (tenant_id, date)`);
});

test("a running worker refuses to plan and to read once the index is dropped, and writes nothing", async () => {
  const id = await plannedRun(world.services, DAY);
  await world.events.dropIndexes();
  const context = await jobContext(world.services);
  const { requireIndexes: cached, ...rest } = context;
  void cached; // its result is kept for some seconds
  const asked = { ...rest, requireIndexes: look };
  await expect(workOn(id, asked)).rejects.toThrow(/has no usable index/);
  expect((await world.pool.query("SELECT FROM daily_usage_cache")).rowCount).toBe(0);
  await world.events.createIndex(KEYS);
  await world.pool.query("UPDATE usage_chunk SET not_before = clock_timestamp()");
  await workOn(id, asked);
  expect((await world.pool.query("SELECT FROM daily_usage_cache")).rowCount).toBe(1);
});

test("an inline rebuild is refused before any work", async () => {
  await world.events.dropIndexes();
  const fresh = new Services(world.config, world.services.log);
  try {
    await expect(doRun(fresh, DAY)).rejects.toThrow(/has no usable index/);
  } finally {
    await fresh.close();
  }
});
