import { beforeAll, expect, test } from "vitest";
import type { Runs } from "../../../src/db/postgres/runs/runs.ts";
import { chunksOf } from "../../support/claimed.ts";
import { useWorld } from "../../support/world.ts";

const [from, to] = ["2026-03-01", "2026-03-02"];
const TENANTS = Array.from({ length: 3_000 }, (_, n) => `t${String(n).padStart(4, "0")}`);

const world = useWorld("ends");
beforeAll(async () => {
  await world.services.agreedPool();
  await world.pool.query(
    `INSERT INTO usage_tenant (tenant_id, first_day, last_day, computed_from, computed_through, searched_through)
     SELECT t, $2, $3, $2, $3, $3 FROM unnest($1::text[]) AS t`,
    [TENANTS, from, to],
  );
});

/** A run of which every chunk has ended; over all tenants, where it has looked for new days of each. */
async function readyToEnd(runs: Runs, dedupeBy: string, names: readonly string[], isOfAll: boolean): Promise<string> {
  const tenants = isOfAll ? undefined : names;
  const wish = { kind: "backfill", from, to, tenants, requestedBy: "test", dedupeBy } as const;
  const chunks = chunksOf(names.map((tenant) => ({ tenant, from, to })));
  const { id } = await runs.createRunning(wish, chunks);
  await world.pool.query("UPDATE usage_chunk SET state = 'done' WHERE run_id = $1", [id]);
  return id;
}

test("runs that end at once, of some and of all tenants, lock the tenants in one order", async () => {
  const runs = await world.services.runs();
  for (let round = 0; round < 4; round++) {
    await world.pool.query("UPDATE usage_tenant SET searched_through = searched_through + 1");
    const ids = [
      await readyToEnd(runs, `${round} upper half`, TENANTS.slice(1_500), true),
      await readyToEnd(runs, `${round} each`, TENANTS, false),
      await readyToEnd(runs, `${round} upper third`, TENANTS.slice(2_000), true),
    ];
    expect(await Promise.all(ids.map((id) => runs.finish(id)))).toEqual(["done", "done", "done"]);
  }
});
