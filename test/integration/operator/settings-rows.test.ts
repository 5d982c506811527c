import { afterEach, expect, test } from "vitest";
import { loadConfig } from "../../../src/config.ts";
import { changeSettings } from "../../../src/db/postgres/change-settings.ts";
import { createLogger } from "../../../src/log.ts";
import { Services } from "../../../src/services.ts";
import { rebuild } from "../../support/rebuild.ts";
import { run, startWorker, untilWorked } from "../../support/process.ts";
import { sampleEvents } from "../../support/sample.ts";
import { storedRows } from "../../support/stored-rows.ts";
import { useWorlds, type World } from "../../support/world.ts";

const HOUR_MS = 3_600_000;

const openWorld = useWorlds("settings_rows");
let world: World;
let services: Services | undefined;
afterEach(async () => {
  await services?.close();
});

/** Puts another time zone in force. @returns the run that rebuilds every row */
async function moveTo(zone: string): Promise<{ env: Record<string, string>; rebuildId: string }> {
  const env = { ...world.env, USAGE_TIMEZONE: zone };
  services = new Services(loadConfig(env), createLogger("silent"));
  const wish = { horizon: undefined, today: services.today(), by: "ops" };
  const { rebuild: rebuildId } = await changeSettings(await services.pool(), services.settings, wish);
  return { env, rebuildId: rebuildId as string };
}

async function ended(id: string): Promise<void> {
  await untilWorked("the rebuild", async () => {
    const { rows } = await world.pool.query<object>("SELECT 1 FROM usage_run WHERE id = $1 AND state = 'done'", [id]);
    return rows[0];
  });
}

const computed = async () => {
  const { rows } = await world.pool.query(
    `SELECT computed_from::text AS "from", computed_through IS NOT NULL AS "isKnown" FROM usage_tenant`,
  );
  return rows[0] as unknown;
};

test("rows of the settings before are in no computed range until they are rebuilt, and no undo brings them back", async () => {
  world = await openWorld();
  await world.insert(sampleEvents(96, (n) => ({ created_at: new Date(Date.UTC(2026, 2, 1, n)) })));
  await rebuild(world, { from: "2026-03-01", to: "2026-03-04" });
  expect(await computed()).toEqual({ from: "2026-03-01", isKnown: true });
  const { env, rebuildId } = await moveTo("Pacific/Auckland");
  expect(await computed()).toEqual({ from: null, isKnown: false });
  await rebuild({ ...world, services: services as Services }, { from: "2026-03-03", to: "2026-03-04" });
  expect(await computed()).toEqual({ from: "2026-03-03", isKnown: true });

  await startWorker(env);
  await ended(rebuildId);
  expect(await computed()).toEqual({ from: "2026-03-01", isKnown: true });
  const rows = await storedRows(world.pool);
  const undone = await run(env, "runs", "undo", rebuildId);
  expect([undone.code, undone.stderr]).toEqual([
    1,
    expect.stringContaining("replaced rows that were computed with other settings"),
  ]);
  expect(await storedRows(world.pool)).toEqual(rows);
});

test("an event whose day is two days earlier in the new time zone is in the row of that day", async () => {
  world = await openWorld({ USAGE_TIMEZONE: "Pacific/Kiritimati" }); // UTC+14
  await world.insert(sampleEvents(2, (n) => ({ created_at: new Date(`2026-03-0${n + 1}T10:30:00Z`) })));
  await rebuild(world, { from: "2026-03-01", to: "2026-03-04" });
  const { env, rebuildId } = await moveTo("Pacific/Pago_Pago"); // UTC-11
  await startWorker(env);
  await ended(rebuildId);
  const { rows } = await world.pool.query<{ date: string; events: number }>(
    `SELECT date::text, total_requests::int AS events FROM daily_usage_cache WHERE total_requests > 0 ORDER BY date`,
  );
  expect(rows).toEqual([
    { date: "2026-02-28", events: 1 }, // half past midnight of 2 March there was half past eleven at night here
    { date: "2026-03-01", events: 1 },
  ]);
});

test("a row of a day that has not begun in the new time zone is rebuilt too", async () => {
  world = await openWorld({ USAGE_TIMEZONE: "Pacific/Kiritimati" });
  const now = Date.now();
  await world.insert(sampleEvents(48, (n) => ({ created_at: new Date(now - n * HOUR_MS) })));
  await rebuild(world, { from: "2026-01-01", to: world.services.today() });
  const { env, rebuildId } = await moveTo("Pacific/Pago_Pago");
  await startWorker(env);
  await ended(rebuildId);
  const { rows } = await world.pool.query<{ events: number }>(
    "SELECT sum(total_requests)::int AS events FROM daily_usage_cache",
  );
  expect(rows).toEqual([{ events: 48 }]);
});
