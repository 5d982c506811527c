import type { CreateIndexesOptions } from "mongodb";
import { afterEach, describe, expect, test } from "vitest";
import type { RefusedDay } from "../../../src/db/postgres/runs/run.ts";
import { run } from "../../support/process.ts";
import { storedRows } from "../../support/stored-rows.ts";
import { useWorlds, type World } from "../../support/world.ts";
import { jobContext } from "../../support/job-context.ts";
import { dirtyDays, doRun, plannedRun, workOn } from "../fencing/runs.ts";
import { SteppedClock } from "../fencing/stepped-clock.ts";
import { tableDifferences } from "../fencing/table.ts";
import { expire, fourADay } from "./events-kept.ts";

const DAY_SECONDS = 86_400;
const RANGE = { from: "2026-06-01", to: "2026-06-10" };
/**
 * For how long events are kept: what is older than June 5, 14:30 UTC is gone at NOW, and taken to be from an hour later
 * on. Twenty years, so that the server of the events, whose clock is not moved, never deletes one for a TTL index itself.
 */
const KEPT_DAYS = 7_305;
const KEPT = KEPT_DAYS * DAY_SECONDS;
/** The clock of PostgreSQL in these tests. */
const NOW = "2046-06-05T14:30:00Z";
/** The same where no index has a TTL. */
const SOON = "2026-06-15T14:30:00Z";

const openWorld = useWorlds("horizon");
let world: World;
let clock: SteppedClock;
async function open(settings: Readonly<Record<string, string>> = {}, now = NOW): Promise<void> {
  world = await openWorld(settings);
  clock = await SteppedClock.create(world.env["DATABASE_URL"]);
  await clock.at(now);
}
afterEach(async () => {
  await clock.close();
});

const expireAfter = (seconds: number, options: CreateIndexesOptions = {}) =>
  world.events.createIndex({ created_at: 1 }, { expireAfterSeconds: seconds, ...options });

async function refusedDays(runId: string): Promise<RefusedDay[]> {
  const problems = await (await world.services.runs()).problems(runId);
  return problems.flatMap((chunk) => chunk.refusedDays);
}

describe.each([
  // In Auckland June 6 begins on the 5th at 12:00 UTC, so that is the half-eaten day there; in the others it is the 5th.
  { by: "the setting", timeZone: "Pacific/Auckland", days: KEPT_DAYS, horizon: "2026-06-07" },
  { by: "a TTL index", timeZone: "America/Los_Angeles", ttl: KEPT, horizon: "2026-06-06" },
  {
    by: "a TTL index stricter than the setting",
    timeZone: "UTC",
    ttl: KEPT,
    days: KEPT_DAYS + 1,
    horizon: "2026-06-06",
  },
  {
    by: "the setting, stricter than the TTL index",
    timeZone: "UTC",
    ttl: KEPT + 2 * DAY_SECONDS,
    days: KEPT_DAYS,
    horizon: "2026-06-06",
  },
  { by: "a partial TTL index", timeZone: "UTC", ttl: KEPT, partial: true, horizon: "2026-06-06" },
])("a rebuild past the horizon, known by $by, in $timeZone", ({ timeZone, days, ttl, partial, horizon }) => {
  test("leaves every row before it as it is, writes none there, and rebuilds all from it on", async () => {
    await open({ USAGE_TIMEZONE: timeZone, ...(days && { EVENTS_RETENTION_DAYS: String(days) }) });
    const events = fourADay(timeZone, "acme", RANGE.from, RANGE.to);
    await world.insert(events);
    await clock.at("2026-06-10T10:00:00Z"); // all events still exist
    expect((await doRun(world.services, RANGE)).days).toMatchObject({ planned: 10, written: 10, refused: 0 });
    const whole = await storedRows(world.pool);

    await clock.at(NOW);
    await world.insert(fourADay(timeZone, "bare", RANGE.from, RANGE.to)); // a tenant without rows
    if (ttl) await expireAfter(ttl, partial ? { partialFilterExpression: { provider: "openai" } } : {});
    expect(await expire(world, NOW, KEPT)).toBeGreaterThan(0);
    await world.pool.query(
      "INSERT INTO usage_dirty (tenant_id, date, found_at) SELECT 'acme', d, clock_timestamp() FROM unnest($1::date[]) AS d",
      [["2026-06-01", "2026-06-05", "2026-06-09"]],
    );

    const allowed = { allowShrink: true, reason: "shrinking is allowed, and a look past the horizon is not" };
    for (const wish of [RANGE, { ...RANGE, ...allowed }]) {
      const { id, state, days: counts } = await doRun(world.services, wish);
      const refused = await refusedDays(id);
      expect(state).toBe("done");
      expect(counts.refused).toBe(refused.length);
      expect(counts.written + counts.unchanged + counts.refused).toBe(counts.planned);
      expect(new Set(refused.map(({ reason }) => reason))).toEqual(new Set(["before the horizon"]));
      const dates = (tenant: string) => refused.filter((day) => day.tenant === tenant).map(({ date }) => date);
      const before = [...whole.values()].map(({ date }) => date).filter((date) => date < horizon);
      expect(dates("acme")).toEqual(before);
      // The day at the edge: half of its events are left, and the row of all of them stands.
      const edge = before.at(-1);
      const left = await world.events.countDocuments({ tenant_id: "bare", created_at: { $lt: new Date(NOW) } });
      const ofEdge = refused.filter(({ date }) => date === edge);
      const half = left - 4 * [...whole.values()].filter(({ date }) => date >= horizon).length;
      expect([1, 2, 3]).toContain(half);
      expect(ofEdge).toMatchObject([
        { tenant: "acme", storedEvents: 4, freshEvents: half },
        { tenant: "bare", storedEvents: null, freshEvents: half },
      ]);
      expect(dates("bare")).toEqual([edge]); // what is gone altogether, nobody knows of
    }

    const rows = await storedRows(world.pool);
    const before = [...whole].filter(([, row]) => row.date < horizon);
    expect(before).not.toEqual([]);
    expect(before.map(([key]) => [key, rows.get(key)])).toEqual(before);
    const bare = [...rows.values()].filter(({ tenant_id }) => tenant_id === "bare").map(({ date }) => date);
    expect(bare).toEqual([...whole.values()].map(({ date }) => date).filter((date) => date >= horizon));
    expect(await tableDifferences(world, [...events, ...events.map((one) => ({ ...one, tenant_id: "bare" }))])).toEqual(
      [...whole.keys()].filter((key) => key.slice(-10) < horizon).map((key) => `bare|${key.slice(-10)}: no row`),
    );
    expect(await dirtyDays(world)).toEqual([]);
  });
});

test("a nightly run does not plan the days before the horizon", async () => {
  await open({ EVENTS_RETENTION_DAYS: "10" }, SOON);
  await world.insert(fourADay("UTC", "acme", RANGE.from, RANGE.to));
  const { id, days } = await doRun(world.services, { ...RANGE, kind: "nightly" });
  expect(days).toEqual({ planned: 5, written: 5, unchanged: 0, stale: 0, refused: 0, failed: 0 });
  expect(await refusedDays(id)).toEqual([]);
  expect([...(await storedRows(world.pool)).keys()][0]).toBe("acme|2026-06-06");
});

test("a TTL of no time refuses every day that has begun", async () => {
  await open();
  await world.insert(fourADay("UTC", "acme", RANGE.from, "2026-06-02"));
  // A part of the events, of which there is none: they are there still when they are read.
  await expireAfter(0, { partialFilterExpression: { provider: "nobody" } });
  expect((await doRun(world.services, RANGE)).days).toMatchObject({ planned: 2, refused: 2 });
  expect((await storedRows(world.pool)).size).toBe(0);
});

describe("the edge passes between the plan and the read", () => {
  const one = { from: "2026-06-05", to: "2026-06-05" };
  const halfEaten = { written: 0, refused: 1 };
  const expectNoRow = async (runId: string) => {
    expect((await storedRows(world.pool)).size).toBe(0);
    expect(await refusedDays(runId)).toMatchObject([{ reason: "before the horizon", storedEvents: null }]);
  };

  test("of time", async () => {
    await open({ EVENTS_RETENTION_DAYS: "12" }, SOON);
    await world.insert(fourADay("UTC", "acme", one.from, one.to));
    const runId = await plannedRun(world.services, { ...one, kind: "nightly" });
    await clock.still("2026-06-16T22:59:59.999999Z");
    const inTime = await plannedRun(world.services, { ...one, kind: "nightly" });
    expect(await workOn(inTime, await jobContext(world.services))).toMatchObject({ written: 1, refused: 0 });
    await world.pool.query("DELETE FROM daily_usage_cache");
    await clock.at("2026-06-16T23:00:00.001Z"); // the day began twelve days ago, less an hour
    await expire(world, "2026-06-17T06:00:00Z", 12 * DAY_SECONDS);
    expect(await workOn(runId, await jobContext(world.services))).toMatchObject(halfEaten);
    await expectNoRow(runId);
  });

  test("by a stricter TTL index, created after this process last looked", async () => {
    await open({ EVENTS_RETENTION_DAYS: String(KEPT_DAYS + 20) });
    await world.insert(fourADay("UTC", "acme", one.from, one.to));
    const runId = await plannedRun(world.services, one);
    const context = await jobContext(world.services);
    expect(await context.retention()).toBe(KEPT + 20 * DAY_SECONDS);
    await expireAfter(KEPT);
    expect(await expire(world, NOW, KEPT)).toBe(3);
    expect(await workOn(runId, context)).toMatchObject(halfEaten);
    await expectNoRow(runId);
  });

  test("by one that is created right before the events are read", async () => {
    await open({ EVENTS_RETENTION_DAYS: String(KEPT_DAYS + 20) });
    await world.insert(fourADay("UTC", "acme", one.from, one.to));
    const runId = await plannedRun(world.services, one);
    const context = await jobContext(world.services);
    const stamp = async () => {
      await expireAfter(KEPT);
      await expire(world, NOW, KEPT);
      return context.stamp();
    };
    expect(await workOn(runId, { ...context, stamp })).toMatchObject(halfEaten);
    await expectNoRow(runId);
  });
});

describe("a TTL on another field", () => {
  test("stops every command that reads events, with the name of the setting that mends it", async () => {
    await open({}, SOON);
    await world.insert(fourADay("UTC", "acme", RANGE.from, RANGE.to));
    await world.events.createIndex({ expires_at: 1 }, { expireAfterSeconds: 0 });
    const range = ["--from", RANGE.from, "--to", RANGE.to];
    const ended = await Promise.all([run(world.env, "rebuild", "--inline", ...range), run(world.env, "worker")]);
    for (const { code, stdout, stderr } of ended) {
      expect([code, stdout]).toEqual([1, ""]);
      expect(stderr).toContain("has a TTL on expires_at");
      expect(stderr).toContain("Set EVENTS_RETENTION_DAYS");
    }
    expect((await world.pool.query("SELECT id FROM usage_run")).rows).toEqual([]);
    const mended = await run({ ...world.env, EVENTS_RETENTION_DAYS: "365" }, "rebuild", "--inline", ...range, "--json");
    expect([mended.code, mended.stderr]).toEqual([0, ""]);
    expect((await storedRows(world.pool)).size).toBe(10);
  });

  test("that is created while a process runs writes nothing there, and says why", async () => {
    await open({}, SOON);
    await world.insert(fourADay("UTC", "acme", RANGE.from, RANGE.to));
    const runId = await plannedRun(world.services, RANGE);
    const context = await jobContext(world.services);
    await context.retention();
    await world.events.createIndex({ expires_at: 1 }, { expireAfterSeconds: 0 });
    await expect(workOn(runId, context)).rejects.toThrow(/Set EVENTS_RETENTION_DAYS/);
    expect((await storedRows(world.pool)).size).toBe(0);
    const { rows } = await world.pool.query("SELECT state, attempts, error FROM usage_chunk");
    expect(rows).toMatchObject([
      { state: "pending", attempts: 1, error: expect.stringContaining("EVENTS_RETENTION_DAYS") as string },
    ]);
  });
});
