import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fill } from "../../../manifests/data/fill.ts";
import { SAMPLE_DATA } from "../../../manifests/data/index.ts";
import { MANIFESTS } from "../../../manifests/index.ts";
import { migrate } from "../../../src/db/postgres/migrate.ts";
import { ensureIndexes } from "../../../src/indexes/ensure/ensure.ts";
import { manifestText, parseManifest } from "../../../src/indexes/manifest/load.ts";
import type { Manifest } from "../../../src/indexes/manifest/manifest.ts";
import { verifyIndexes } from "../../../src/indexes/verify/verify.ts";
import { EVENT_FIELDS, type FieldMap } from "../../../src/usage/event.ts";
import { scratch, type Scratch } from "./scratch.ts";
import { HANG_MS, timeless } from "./timeless.ts";

const ROWS = 3_000;
const NOW = new Date();
const fields = Object.fromEntries(EVENT_FIELDS.map((field) => [field, field])) as FieldMap;

async function filled(name: string): Promise<{ place: Scratch; manifest: Manifest }> {
  const place = await scratch();
  if (name === "usage") await migrate(place.databaseUrl, "up");
  const data = SAMPLE_DATA[name] as (typeof SAMPLE_DATA)[string];
  await data.prepare(place);
  await fill(data, place, ROWS, 1, NOW);
  const manifest = (MANIFESTS[name] as (typeof MANIFESTS)[string])({ collection: "token_usage_events", fields });
  return { place, manifest };
}

describe.each(Object.keys(MANIFESTS))("%s", (name) => {
  let place: Scratch;
  let manifest: Manifest;
  beforeAll(async () => {
    ({ place, manifest } = await filled(name));
  });
  afterAll(() => place.drop());

  test("every index can be built on its sample data, and the same manifest from a file finds nothing to do", async () => {
    const targets = { mongo: place.mongo, databaseUrl: place.databaseUrl, allowBlocking: true };
    const first = await ensureIndexes({ ...targets, manifest });
    expect(first.entries.filter(({ action }) => action !== "created" && action !== "present")).toEqual([]);
    const built = [...Object.values(manifest.mongo ?? {}), ...Object.values(manifest.postgres ?? {})]
      .flat()
      .filter((index) => !index.checked && !("constraint" in index))
      .map((index) => index.name);
    const created = first.entries.filter(({ action }) => action === "created").map((entry) => entry.name);
    expect(created.sort()).toEqual(built.sort());

    const again = await ensureIndexes({ ...targets, manifest: parseManifest(manifestText(manifest), `${name}.yaml`) });
    expect(again.entries.filter(({ action }) => action !== "present")).toEqual([]);
  });

  test("every contract is kept, with values from the sample data", async () => {
    await place.sql.query("VACUUM ANALYZE");
    const own = timeless(manifest);
    expect(manifestText(own)).not.toContain("maxMs");
    const targets = { manifest: own, mongo: place.mongo, databaseUrl: place.databaseUrl };
    const report = await verifyIndexes({ ...targets, limitMs: HANG_MS });
    expect(report.entries.filter(({ ok }) => !ok)).toEqual([]);
    expect(report.entries.filter(({ verdict }) => verdict === "no data")).toEqual([]);
  });
});

test("the same rows, seed and day make the same tables; another seed does not", async () => {
  const sums = async (seed: number) => {
    const place = await scratch();
    try {
      const data = SAMPLE_DATA["justoai"] as (typeof SAMPLE_DATA)[string];
      await data.prepare(place);
      await fill(data, { sql: place.sql }, 400, seed, NOW);
      const { rows } = await place.sql.query<{ hash: string }>(
        `SELECT md5(string_agg(t::text, '|' ORDER BY id)) AS hash FROM "WebhookDelivery" AS t`,
      );
      return rows[0]?.hash;
    } finally {
      await place.drop();
    }
  };
  const first = await sums(1);
  expect(await sums(1)).toBe(first);
  expect(await sums(2)).not.toBe(first);
});

test("a cache row's documents add up to its columns, as the worker's do", async () => {
  const { place } = await filled("usage");
  try {
    const { rows } = await place.sql.query(`
      SELECT tenant_id, date FROM daily_usage_cache AS d
        CROSS JOIN LATERAL (SELECT sum((value->>'totalTokens')::numeric) AS tokens FROM jsonb_each(aggregated_by_user)) AS u
        CROSS JOIN LATERAL (SELECT sum((value->>'totalCost')::numeric) AS cost FROM jsonb_each(aggregated_by_model)) AS m
        CROSS JOIN LATERAL (SELECT sum((cell->>3)::numeric) AS requests FROM jsonb_array_elements(raw_data->'rows') AS cell) AS r
       WHERE u.tokens <> total_tokens OR m.cost <> total_cost OR r.requests <> total_requests`);
    expect(rows).toEqual([]);
  } finally {
    await place.drop();
  }
});
