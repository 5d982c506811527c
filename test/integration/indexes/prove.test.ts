/** An index goes only when the one in its place is proven to do the work. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { ensureIndexes } from "../../../src/indexes/ensure/ensure.ts";
import type { Manifest, PostgresIndex } from "../../../src/indexes/manifest/manifest.ts";
import { proveWith } from "../../../src/indexes/ensure/prove.ts";
import { rollbackIndexes } from "../../../src/indexes/rollback/rollback.ts";
import { FORGET, cacheIndexes, makeCache, scratch, type Scratch } from "./scratch.ts";

let own: Scratch;
beforeAll(async () => {
  own = await scratch();
});
afterAll(() => own.drop());
beforeEach(async () => {
  await makeCache(own.sql);
  await own.sql.query(`
    INSERT INTO daily_usage_cache (tenant_id, date, kind, state)
    SELECT 'many ' || t, date '2020-01-01' + d, 'k' || d % 50, CASE WHEN d % 100 = 0 THEN 'open' ELSE 'final' END
      FROM generate_series(1, 20) t, generate_series(0, 999) d`);
  await own.sql.query("ANALYZE daily_usage_cache");
  await own.sql.query(FORGET);
  await own.sql.query("CREATE INDEX by_state ON daily_usage_cache (kind)");
});

const OPEN = "SELECT tenant_id FROM daily_usage_cache WHERE state = 'open' AND kind = $1";

function manifestOf(index: Omit<PostgresIndex, "name" | "why">): Manifest {
  const contracts = [{ name: "open days", sql: OPEN, params: ["k0"] }];
  return {
    version: 1,
    project: "test",
    postgres: { "public.daily_usage_cache": [{ name: "by_state", why: "test", contracts, ...index }] },
  };
}

async function replace(index: Omit<PostgresIndex, "name" | "why">) {
  const targets = { manifest: manifestOf(index), mongo: own.mongo, databaseUrl: own.databaseUrl };
  const report = await ensureIndexes({ ...targets, replace: true, prove: proveWith(targets) });
  return { targets, entry: report.entries[0] };
}

const byState = async () => (await cacheIndexes(own.sql)).filter(({ name }) => name.startsWith("by_state"));

test("a new index that its query cannot use is dropped, and the old one gets its name back", async () => {
  const [before] = await byState();
  const { entry } = await replace({ columns: ["date"], where: "state = 'closed'" });
  expect(entry).toMatchObject({ action: "failed" });
  expect(entry?.detail).toMatch(
    /^the old index stays, since the new one does not serve its contracts: "open days" cannot use it/,
  );
  expect(await byState()).toEqual([before]);
});

test("a new index that its query uses replaces the old one, and a rollback brings the old one back", async () => {
  const [before] = await byState();
  const { entry, targets } = await replace({ columns: ["kind", "tenant_id"], where: "state = 'open'" });
  expect(entry).toMatchObject({ action: "replaced" });
  const after = await byState();
  expect(after.map(({ definition }) => definition)).toEqual([
    expect.stringMatching(/\(kind, tenant_id\) WHERE \(state = 'open'::text\)/),
  ]);
  expect(await rollbackIndexes(targets, {})).toMatchObject([{ action: "restored" }]);
  expect((await byState()).map(({ name, definition }) => [name, definition])).toEqual([
    [before?.name, before?.definition],
  ]);
});
