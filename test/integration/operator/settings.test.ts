import { randomUUID } from "node:crypto";
import { beforeEach, describe, expect, test } from "vitest";
import { resumeRun } from "../../../src/db/postgres/runs/control.ts";
import type { RunRequest } from "../../../src/db/postgres/runs/request.ts";
import { computeSettings, loadConfig } from "../../../src/config.ts";
import { changeSettings } from "../../../src/db/postgres/change-settings.ts";
import { createLogger } from "../../../src/log.ts";
import { Services } from "../../../src/services.ts";
import { claimChunk, plannedRun, workOff } from "../../support/claimed.ts";
import { differences } from "../../support/differences.ts";
import { oracle } from "../../support/oracle.ts";
import { run, start, startWorker, untilWorked, type Ended } from "../../support/process.ts";
import { sampleEvents } from "../../support/sample.ts";
import { storedRows, type WholeRow } from "../../support/stored-rows.ts";
import { useWorldForEach } from "../../support/world.ts";

const RANGE = ["--from", "2026-03-01", "--to", "2026-03-04"];
const AUCKLAND = { USAGE_TIMEZONE: "Pacific/Auckland" };

const world = useWorldForEach("settings");
beforeEach(async () => {
  // An event an hour for three days: elsewhere, every day holds others.
  const hour = (n: number) => new Date(Date.UTC(2026, 2, 1, n));
  await world.insert(sampleEvents(72, (n) => ({ created_at: hour(n), prompt_tokens: n })));
});

const say = (settings: Record<string, string>, ...args: string[]): Promise<Ended> =>
  run({ ...world.env, ...settings }, ...args);
const settingsInForce = async () => {
  const { rows } = await world.pool.query<{ value: { values: Record<string, unknown> } }>(
    "SELECT value FROM usage_meta WHERE name = 'settings'",
  );
  return rows[0]?.value.values;
};

describe("a process whose settings differ", () => {
  test.each([
    ["USAGE_TIMEZONE", "Europe/Berlin", '"UTC"', '"Europe/Berlin"'],
    ["MAX_KEYS", "7", "50000", "7"],
    ["MAX_RAW_ROWS", "7", "200000", "7"],
  ])("in %s stops before any work, and names the setting with both values", async (name, value, was, is) => {
    expect((await say({}, "rebuild", "--inline", ...RANGE)).code).toBe(0);
    const rows = await storedRows(world.pool);
    const commands = [["worker"], ["rebuild", "--inline", ...RANGE], ["backfill", ...RANGE], ["audit", ...RANGE]];
    for (const command of commands) {
      const stopped = await say({ [name]: value }, ...command);
      expect([stopped.code, stopped.stderr], command[0]).toEqual([
        1,
        "tallyman: The rows were computed under other settings than this process has:\n" +
          `  ${name} was ${was}, and is ${is} here\n` +
          "Set them as they were, or change them for good, which rebuilds every row: tallyman migrate settings --yes\n",
      ]);
    }
    expect(await storedRows(world.pool)).toEqual(rows);
    expect((await world.pool.query("SELECT count(*)::int AS runs FROM usage_run")).rows).toEqual([{ runs: 1 }]);
  });

  test("in the names of fields stops too, but not over how they are written", async () => {
    await say({ EVENTS_FIELDS: '{"model":"m","cost":"c"}' }, "runs", "list");
    expect((await say({ EVENTS_FIELDS: '{"cost":"c","model":"m"}' }, "runs", "list")).code).toBe(0);
    const other = await say({}, "runs", "list");
    expect(other.code).toBe(1);
    expect(other.stderr).toMatch(/EVENTS_FIELDS was \{.*"cost":"c".*\}, and is \{.*"cost":"cost".*\} here/);
  });
});

test("of several processes that start at once with different time zones all but one stop", async () => {
  const zones = ["UTC", "Pacific/Auckland", "America/St_Johns", "Asia/Kolkata"];
  const workers = zones.map((zone) => start({ ...world.env, USAGE_TIMEZONE: zone }, ["worker", "--json"]));
  const stopped = await Promise.all(
    workers.map(async (worker) => {
      const isUp = await Promise.race([
        untilWorked("start", () => worker.stdout().includes("\n")).then(() => true),
        worker.ended.then(() => false),
      ]);
      return isUp ? undefined : worker.ended;
    }),
  );
  expect(stopped.filter((ended) => ended === undefined)).toHaveLength(1);
  const winner = zones[stopped.indexOf(undefined)];
  expect(await settingsInForce()).toMatchObject({ USAGE_TIMEZONE: winner });
  for (const ended of stopped) {
    if (!ended) continue;
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain(`USAGE_TIMEZONE was "${winner}"`);
  }
});

describe("migrate settings", () => {
  test("rebuilds every row under the new settings, and ends the worker that has the old ones", async () => {
    await say({}, "rebuild", "--inline", ...RANGE);
    const old = await startWorker(world.env);
    const asked = await say(AUCKLAND, "migrate", "settings");
    expect(asked.code).toBe(1);
    expect(asked.stderr).toContain('USAGE_TIMEZONE was "UTC", and is "Pacific/Auckland" here');
    expect(asked.stderr).toContain("say --yes");
    expect(await settingsInForce()).toMatchObject({ USAGE_TIMEZONE: "UTC" });

    const changed = await say(AUCKLAND, "migrate", "settings", "--yes", "--json", "--by", "ops");
    expect(changed.code).toBe(0);
    const { rebuild } = JSON.parse(changed.stdout) as { rebuild: string };
    const ended = await old.ended;
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain('USAGE_TIMEZONE was "Pacific/Auckland", and is "UTC" here');

    await startWorker({ ...world.env, ...AUCKLAND });
    const done = await untilWorked("rebuild", async () => {
      const { rows } = await world.pool.query<{ state: string; requested_by: string; reason: string }>(
        "SELECT state, requested_by, reason, allow_shrink FROM usage_run WHERE id = $1 AND finished_at IS NOT NULL",
        [rebuild],
      );
      return rows[0];
    });
    const reason = 'settings changed: USAGE_TIMEZONE was "UTC", and is "Pacific/Auckland" here';
    expect(done).toEqual({ state: "done", requested_by: "ops", reason, allow_shrink: true });

    const events = await world.events.find({}, { promoteValues: false }).toArray();
    const expected = oracle(events, { timeZone: "Pacific/Auckland", now: new Date() }).days;
    const stored = await storedRows(world.pool);
    const days = [...expected].map(([key, day]) => differences(stored.get(key) as WholeRow, day));
    expect(days.flat()).toEqual([]);
    expect([...stored.keys()]).toEqual(
      ["2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04"].map((d) => `acme|${d}`),
    );
    expect((await say(AUCKLAND, "migrate", "settings", "--yes")).stdout).toBe("These settings are in force already.\n");
  });

  test("cancels what is under way: not a row of the old settings is written after it, and none can be asked for", async () => {
    const span = { tenant: "acme", from: "2026-03-01", to: "2026-03-04" };
    const id = await plannedRun(world, [span]);
    const claim = await claimChunk(world, id);
    await workOff(world, claim, 1);
    const wanted = computeSettings(loadConfig({ ...world.env, ...AUCKLAND }));
    const change = await changeSettings(await world.services.pool(), wanted, {
      horizon: undefined,
      today: "2026-11-20",
      by: "ops",
    });
    expect(change).toMatchObject({
      cancelled: [id],
      changes: '  USAGE_TIMEZONE was "UTC", and is "Pacific/Auckland" here',
    });
    await expect(workOff(world, { ...claim, cursor: 1 }, 1)).rejects.toThrow("is not ours any more");
    const runs = await world.services.runs();
    expect(await runs.get(id)).toMatchObject({ state: "cancelled", cancelledBy: "ops: the settings changed" });
    const request: RunRequest = {
      id: randomUUID(),
      kind: "nightly",
      from: span.from,
      to: span.to,
      requestedBy: "schedule",
      dedupeBy: "x",
    };
    await expect(runs.create(request)).rejects.toThrow("The settings were changed");
    await expect(resumeRun(world.pool, id, world.services.settings.hash)).rejects.toThrow(
      "was planned under other settings",
    );
    await world.pool.query("UPDATE usage_run SET state = 'running'");
    await world.pool.query("UPDATE usage_chunk SET state = 'pending'");
    expect(await (await world.services.chunks()).claim(id, 0)).toBeUndefined();
  });

  test("is refused while rows lie before the horizon, with nothing changed", async () => {
    await say({}, "rebuild", "--inline", ...RANGE);
    const retention = { EVENTS_RETENTION_DAYS: "30" };
    const refused = await say({ ...AUCKLAND, ...retention }, "migrate", "settings", "--yes");
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(
      /^tallyman: 3 rows from 2026-03-01 to 2026-03-03 lie before \d{4}-\d\d-\d\d, the first day/,
    );
    expect(await settingsInForce()).toMatchObject({ USAGE_TIMEZONE: "UTC" });
    expect((await say({}, "runs", "list")).code).toBe(0);
  });

  test("waits for a run that is being asked for, and cancels it", async () => {
    const client = await world.pool.connect();
    const services = new Services(loadConfig(world.env), createLogger("silent"));
    try {
      await (await services.runs()).list(1); // the settings are agreed
      const hash = services.settings.hash;
      await client.query("BEGIN");
      await client.query(
        `INSERT INTO usage_run (id, kind, requested_by, dedupe_key, settings_hash, from_date, to_date)
         SELECT gen_random_uuid(), 'backfill', 'test', 'k', $1, '2026-03-01', '2026-03-01'
           FROM (SELECT 1 FROM usage_meta WHERE name = 'settings' FOR SHARE) m`,
        [hash],
      );
      const wanted = computeSettings(loadConfig({ ...world.env, ...AUCKLAND }));
      const changing = changeSettings(await world.services.pool(), wanted, {
        horizon: undefined,
        today: "2026-11-20",
        by: "ops",
      });
      await client.query("COMMIT");
      expect((await changing).cancelled).toHaveLength(1);
    } finally {
      client.release();
      await services.close();
    }
  });
});
