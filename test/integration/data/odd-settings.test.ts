import { expect, test } from "vitest";
import { UnreachableError } from "../../../src/errors.ts";
import type { RunRequest } from "../../../src/db/postgres/runs/request.ts";
import { Runs } from "../../../src/db/postgres/runs/runs.ts";
import { runInline } from "../../../src/execution/inline.ts";
import { planChunks } from "../../../src/usage/plan.ts";
import { addDays } from "../../../src/usage/day.ts";
import { rebuild } from "../../support/rebuild.ts";
import { event, sampleEvents } from "../../support/sample.ts";
import { PermitGate } from "../../support/permit-gate.ts";
import { useWorlds } from "../../support/world.ts";

const openWorld = useWorlds("odd_settings");

const TO = "2026-03-01";

test("a run is planned, and given to a queue, only under the settings that it was asked for", async () => {
  const { services, pool } = await openWorld();
  const runs = await services.runs();
  const request: RunRequest = { kind: "backfill", from: TO, to: TO, requestedBy: "test" };
  const foreign = new Runs(pool, "of another time zone");
  await expect(foreign.create(request)).rejects.toThrow("The settings were changed");
  const { id } = await runs.create(request);
  await pool.query("UPDATE usage_run SET settings_hash = 'of another time zone'");
  expect(await (await services.due()).of("bulk", 10)).toEqual({ paused: false, runs: [], chunks: [] });
  expect(await runs.isPlannable(id)).toBe(false);
  expect(await runs.plan(id, planChunks([{ tenant: "acme", from: TO, to: TO }]))).toBe(false);
  expect(await runs.get(id)).toMatchObject({ state: "planned", days: { planned: 0 } });
});

test("an inline run that loses the connection of its locks ends without spending an attempt", async () => {
  const world = await openWorld({ WORKER_CONCURRENCY: "1", MONGODB_CONCURRENCY: "1" });
  const { services, pool } = world;
  await world.insert(sampleEvents(100, (n) => ({ created_at: new Date(`${addDays(TO, -n)}T12:00:00Z`) })));
  const wish = { kind: "backfill", from: addDays(TO, -99), to: TO, inline: true, requestedBy: "test" } as const;
  const gate = await PermitGate.create(world.env["DATABASE_URL"]);
  await gate.shut(); // it cannot be done before it is cut off
  let killed: Promise<unknown> | undefined;
  const run = runInline(services, wish, new AbortController().signal, () => {
    killed ??= pool.query(
      `SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
        WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND d.datname = current_database()`, // the lock of its run
    );
  });
  await expect(run).rejects.toThrow(UnreachableError);
  await killed;
  await gate.close();
  const { rows } = await pool.query("SELECT attempts FROM usage_chunk WHERE attempts > 0");
  expect(rows).toEqual([]);
});

test("a database that writes dates another way changes nothing", async () => {
  const world = await openWorld();
  const { rows } = await world.pool.query<{ name: string }>("SELECT current_database() AS name");
  await world.pool.query(`ALTER DATABASE ${rows[0]?.name} SET datestyle TO 'German'`);
  await world.pool.query(`ALTER DATABASE ${rows[0]?.name} SET default_transaction_isolation TO 'serializable'`);
  await world.insert([event()]);
  expect(await rebuild(world, { from: TO, to: TO })).toMatchObject({ state: "done", days: { planned: 1, written: 1 } });
});

test("events with an array around a nested tenant or date are invisible, as arrays of them are", async () => {
  const fields = JSON.stringify({ tenant_id: "org.id", created_at: "meta.at" });
  const world = await openWorld({ EVENTS_FIELDS: fields });
  const at = new Date(`${TO}T12:00:00Z`);
  const plain = { ...event(), tenant_id: undefined, created_at: undefined };
  await world.insert([
    { ...plain, org: { id: "one" }, meta: { at } },
    { ...plain, org: [{ id: "one" }, { id: "two" }], meta: { at } },
    { ...plain, org: { id: "one" }, meta: [{ at }, { at: new Date(`${addDays(TO, -2)}T12:00:00Z`) }] },
  ]);
  await rebuild(world, { from: addDays(TO, -5), to: TO });
  const { rows } = await world.pool.query(
    "SELECT tenant_id, date::text, total_requests FROM daily_usage_cache WHERE total_requests > 0",
  );
  expect(rows).toEqual([{ tenant_id: "one", date: TO, total_requests: "1" }]);
});
