/** Windows that move: the next one is built before the last one goes. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { checkIndexes } from "../../../src/indexes/check/check.ts";
import { ensureIndexes, type EnsureOptions } from "../../../src/indexes/ensure/ensure.ts";
import type { Manifest } from "../../../src/indexes/manifest/manifest.ts";
import { FORGET, cacheIndexes, makeCache, scratch, type Scratch } from "./scratch.ts";

const rolling = { column: "cached_at", keep: "1 month", rotate: "monthly" } as const;
const manifest: Manifest = {
  version: 1,
  project: "test",
  createCollections: true,
  mongo: { events: [{ name: "recent", why: "test", keys: [["tenant_id", 1]], rolling: { ...rolling, column: "at" } }] },
  postgres: {
    "public.daily_usage_cache": [
      { name: "recent", why: "test", columns: ["tenant_id", "cached_at"], where: "state = 'final'", rolling },
    ],
  },
};

let own: Scratch;
beforeAll(async () => {
  own = await scratch();
});
afterAll(() => own.drop());
beforeEach(async () => {
  await makeCache(own.sql);
  await own.mongo.dropDatabase();
  await own.sql.query(FORGET);
});

/** Every connection from now on sees this time. */
async function setClock(now: string): Promise<void> {
  const { rows } = await own.sql.query<{ name: string }>("SELECT quote_ident(current_database()) AS name");
  await own.sql.query(`
    CREATE OR REPLACE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql STABLE RETURN timestamptz '${now}'`);
  await own.sql.query(`ALTER DATABASE ${rows[0]?.name} SET search_path = public, pg_catalog`);
}

const options = () => ({ manifest, mongo: own.mongo, databaseUrl: own.databaseUrl });
async function ensure(more: Partial<EnsureOptions> = {}) {
  const { entries } = await ensureIndexes({ ...options(), ...more });
  return entries.map(({ engine, name, action }) => `${engine} ${name} ${action}`);
}
const names = async () =>
  (await cacheIndexes(own.sql)).map(({ name }) => name).filter((name) => name.startsWith("recent"));

test("a month has a window with a literal bound; the next month's window replaces it in both databases", async () => {
  await setClock("2026-10-31 23:59:59+00");
  expect(await ensure()).toEqual(["mongodb recent__2026_10 created", "postgres recent__2026_10 created"]);
  expect(await ensure()).toEqual(["mongodb recent__2026_10 present", "postgres recent__2026_10 present"]);
  const [window] = (await cacheIndexes(own.sql)).filter(({ name }) => name === "recent__2026_10");
  expect(window?.definition).toMatch(/WHERE .*state.*'final'.* AND .*cached_at >= '2026-09-01 00:00:00\+00'/);

  await setClock("2026-11-01 00:00:00+00");
  const before = await checkIndexes(options());
  expect(before.ok).toBe(false);
  expect(before.targets.flatMap(({ indexes }) => indexes.map(({ name, status }) => `${name} ${status}`))).toEqual(
    expect.arrayContaining(["recent__2026_11 missing", "recent__2026_10 extra"]),
  );
  expect(await ensure()).toEqual([
    "mongodb recent__2026_11 created",
    "mongodb recent__2026_10 retired",
    "postgres recent__2026_11 created",
    "postgres recent__2026_10 retired",
  ]);
  expect(await names()).toEqual(["recent__2026_11"]);
  const events = await own.mongo.collection("events").indexes();
  expect(events.map(({ name }) => name as string)).toEqual(["_id_", "recent__2026_11"]);
  expect(events[1]?.["partialFilterExpression"]).toEqual({ at: { $gte: new Date("2026-10-01T00:00:00Z") } });
  expect((await checkIndexes(options())).ok).toBe(true);
});

test("an older window stays while the current one is not proven, or if somebody else made it", async () => {
  await setClock("2026-10-10 00:00:00+00");
  await ensure();
  await own.sql.query(
    "CREATE INDEX recent__2025_01 ON daily_usage_cache (tenant_id, cached_at) WHERE cached_at >= '2024-12-01'",
  );
  await setClock("2026-11-10 00:00:00+00");
  const unproven = await ensure({ prove: () => Promise.resolve("it is not used") });
  expect(unproven.filter((line) => line.startsWith("postgres"))).toEqual([
    "postgres recent__2026_11 created",
    "postgres recent__2025_01 present",
    "postgres recent__2026_10 failed",
  ]);
  expect(await names()).toEqual(["recent__2025_01", "recent__2026_10", "recent__2026_11"]);
  await ensure();
  expect(await names()).toEqual(["recent__2025_01", "recent__2026_11"]);
});

test("an interrupted drop of an older window is finished by the next run", async () => {
  await setClock("2026-10-10 00:00:00+00");
  await ensure();
  await own.sql.query("UPDATE public.tallyman_index_ledger SET intent = 'drop', state = 'started'");
  await own.sql.query("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'recent__2026_10'::regclass");
  await setClock("2026-11-10 00:00:00+00");
  expect(await ensure()).toContain("postgres recent__2026_10 retired");
  expect(await names()).toEqual(["recent__2026_11"]);
});
