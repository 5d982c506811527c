import { beforeEach, describe, expect, test } from "vitest";
import { DirtyDays } from "../../../src/db/postgres/dirty.ts";
import { Watermarks } from "../../../src/db/postgres/watermarks.ts";
import { Services } from "../../../src/services.ts";
import { stampAt } from "../../support/backends.ts";
import { event } from "../../support/sample.ts";
import { storedRows } from "../../support/stored-rows.ts";
import { until } from "../../support/until.ts";
import { useWorld, type World } from "../../support/world.ts";
import { dateAt, dirty, follow, HOUR, idAt, noon, setWatermark, watermark, workOff, ZONE } from "./follow.ts";

const world = useWorld("dirty", { USAGE_TIMEZONE: ZONE, SETTLE_HOURS: "0", EVENTS_RETENTION_DAYS: "30" });
beforeEach(() => world.reset());

const arrived = (seconds: number, tenant_id: string, date: string, differs = {}) =>
  event({ _id: idAt(-seconds), tenant_id, created_at: noon(date), ...differs });

const refresh = async () => workOff(world, (await follow(world)).runId);
const keys = async () => [...(await storedRows(world.pool)).keys()];
const putOnList = (tenant: string, date: string) =>
  world.pool.query("INSERT INTO usage_dirty (tenant_id, date, found_at) VALUES ($1, $2, clock_timestamp())", [
    tenant,
    date,
  ]);

test("a tenant-day that fails holds up no other, and comes back when its time has come", async () => {
  // Two users whose names fit into no answer, in one millisecond, so that no slice of time parts them.
  const huge = ["a", "b"].map((letter) => arrived(60, "crowd", dateAt(-2), { user_id: letter.repeat(8_500_000) }));
  await world.insert([...huge, arrived(60, "acme", dateAt(-2)), arrived(60, "zeta", dateAt(-3))]);
  expect(await refresh()).toMatchObject({ state: "failed", days: { planned: 3, written: 2, failed: 1 } });
  expect(await keys()).toEqual([`acme|${dateAt(-2)}`, `zeta|${dateAt(-3)}`]);
  expect(await dirty(world)).toEqual([`crowd ${dateAt(-2)}`]);

  // It is found once more, and waits all the same.
  expect(await follow(world)).toMatchObject({ differing: 1, runId: null });
  await world.insert([arrived(30, "acme", dateAt(-4))]);
  expect(await refresh()).toMatchObject({ state: "done", days: { planned: 1, written: 1 } });

  await world.events.deleteOne({ _id: huge[0]?.["_id"] as never });
  await world.pool.query("UPDATE usage_dirty SET not_before = clock_timestamp()");
  expect(await refresh()).toMatchObject({ state: "done", days: { planned: 1, written: 1 } });
  expect(await dirty(world)).toEqual([]);
});

test.each(["no watermark yet", "a watermark"])(
  "of two refreshes at once with %s one moves the watermark, and one run is made",
  async (what) => {
    if (what === "a watermark") await setWatermark(world, 60);
    await world.insert([arrived(30, "acme", dateAt(-1)), arrived(30, "zeta", dateAt(-1))]);
    const other: World = { ...world, services: new Services(world.config, world.services.log) };
    try {
      let waiting = 0;
      const stamp = async () => {
        waiting++;
        await until("second job that has read the watermark", () => waiting === 2);
        return stampAt(world.pool);
      };
      const both = await Promise.all([follow(world, { stamp }), follow(other, { stamp })]);
      expect(both.map(({ moved }) => moved).sort()).toEqual([false, true]);
      expect(both.map(({ differing }) => differing)).toEqual([2, 2]);
      expect(both.filter(({ runId }) => runId !== null)).toHaveLength(1);
      const runs = await world.pool.query("SELECT kind, state, days_planned FROM usage_run");
      expect(runs.rows).toEqual([{ kind: "refresh", state: "running", days_planned: 2 }]);
    } finally {
      await other.services.close();
    }
  },
);

test("while a refresh is underway no other begins; what is found meanwhile is for the next", async () => {
  await world.insert([arrived(30, "acme", dateAt(-1))]);
  const { runId } = await follow(world);
  await world.insert([arrived(30, "zeta", dateAt(-2))]);
  expect(await follow(world)).toMatchObject({ differing: 2, runId: null });
  await workOff(world, runId);
  expect(await keys()).toEqual([`acme|${dateAt(-1)}`]);
  await refresh();
  expect(await keys()).toEqual([`acme|${dateAt(-1)}`, `zeta|${dateAt(-2)}`]);
});

describe("a process that dies", () => {
  const dies = () => Promise.reject(new Error("died"));

  test.each([
    ["before it kept what it found", "markDiffering", { kept: false, moved: false }],
    ["before it moved the watermark", "move", { kept: true, moved: false }],
    ["before it started the refresh", "due", { kept: true, moved: true }],
  ] as const)("%s loses nothing", async (_when, step, { kept, moved }) => {
    await setWatermark(world, 2 * HOUR);
    await world.insert([arrived(HOUR, "acme", dateAt(-1))]); // older than what the next overlap reaches
    const before = await watermark(world);
    const pool = await world.services.pool();
    const [dirtyDays, watermarks] = [new DirtyDays(pool), new Watermarks(pool)];
    Object.assign(step === "move" ? watermarks : dirtyDays, { [step]: dies });
    await expect(follow(world, { dirtyDays, watermarks })).rejects.toThrow("died");
    expect(await dirty(world)).toEqual(kept ? [`acme ${dateAt(-1)}`] : []);
    expect((await watermark(world)) !== before).toBe(moved);

    expect(await refresh()).toMatchObject({ state: "done", days: { planned: 1, written: 1 } });
    expect(await keys()).toEqual([`acme|${dateAt(-1)}`]);
  });
});

test("a day whose next event arrives while it is rebuilt stays on the list", async () => {
  await world.insert([arrived(30, "acme", dateAt(-1))]);
  const { runId } = await follow(world);
  const { events } = await world.services.source();
  const readDay = async (...given: Parameters<typeof events.readDay>) => {
    const rollup = await events.readDay(...given);
    await world.insert([arrived(5, "acme", dateAt(-1))]);
    expect(await follow(world)).toMatchObject({ differing: 1, runId: null });
    return rollup;
  };
  await workOff(world, runId, { events: Object.assign(Object.create(events) as typeof events, { readDay }) });
  expect((await storedRows(world.pool)).get(`acme|${dateAt(-1)}`)).toMatchObject({ source_events: "1" });
  expect(await dirty(world)).toEqual([`acme ${dateAt(-1)}`]);

  await refresh();
  expect((await storedRows(world.pool)).get(`acme|${dateAt(-1)}`)).toMatchObject({ source_events: "2" });
  expect(await dirty(world)).toEqual([]);
});

test("days before the horizon are not put on the list, and make no tenant known", async () => {
  await world.insert([arrived(30, "acme", dateAt(-31)), arrived(30, "zeta", dateAt(-28))]);
  expect(await follow(world)).toMatchObject({ events: 2, days: 2, differing: 1 });
  expect(await dirty(world)).toEqual([`zeta ${dateAt(-28)}`]);
  const { rows } = await world.pool.query("SELECT tenant_id FROM usage_tenant");
  expect(rows).toEqual([{ tenant_id: "zeta" }]);
});

describe("a refused tenant-day leaves the list", () => {
  test("when it lies before the horizon by now", async () => {
    await world.insert([arrived(30, "acme", dateAt(-31))]);
    await putOnList("acme", dateAt(-31));
    expect(await refresh()).toMatchObject({ state: "done", days: { planned: 1, refused: 1 } });
    expect([await dirty(world), await keys()]).toEqual([[], []]);
  });

  test("when a final day has lost events", async () => {
    const events = [arrived(30, "acme", dateAt(-3)), arrived(30, "acme", dateAt(-3))];
    await world.insert(events);
    await refresh();
    await world.events.deleteOne({ _id: events[0]?.["_id"] as never });
    expect(await follow(world)).toMatchObject({ differing: 1 });
    const { rows } = await world.pool.query<{ id: string }>("SELECT id FROM usage_run WHERE state = 'running'");
    expect(await workOff(world, rows[0]?.id ?? null)).toMatchObject({ state: "done", days: { refused: 1 } });
    expect(await dirty(world)).toEqual([]);
    expect((await storedRows(world.pool)).get(`acme|${dateAt(-3)}`)).toMatchObject({ source_events: "2" });
  });
});

test("a tenant-day that is listed again keeps the later time of the two, and its pause", async () => {
  await world.pool.query(
    `INSERT INTO usage_dirty VALUES ('acme', $1, clock_timestamp() + interval '1 hour', 'infinity'),
                                    ('zeta', $1, clock_timestamp() - interval '1 hour', 'infinity')`,
    [dateAt(-1)],
  );
  await world.insert([arrived(30, "acme", dateAt(-1)), arrived(30, "zeta", dateAt(-1))]);
  await follow(world);
  const { rows } = await world.pool.query(
    `SELECT tenant_id, found_at > clock_timestamp() + interval '1 minute' AS later,
            found_at < clock_timestamp() - interval '1 minute' AS earlier, not_before::text
       FROM usage_dirty ORDER BY tenant_id`,
  );
  expect(rows).toEqual([
    { tenant_id: "acme", later: true, earlier: false, not_before: "infinity" },
    { tenant_id: "zeta", later: false, earlier: false, not_before: "infinity" },
  ]);
});

test("a refresh takes what has been on the list longest, as far as its bound goes", async () => {
  await world.pool.query(
    `INSERT INTO usage_dirty VALUES ('zeta', $1, now() - interval '3 h', '-infinity'),
                                    ('acme', $1, now() - interval '1 h', '-infinity'),
                                    ('acme', $2, now() - interval '2 h', '-infinity')`,
    [dateAt(-1), dateAt(-2)],
  );
  expect(await new DirtyDays(await world.services.pool()).due(2)).toEqual([
    { tenant: "acme", date: dateAt(-2) },
    { tenant: "zeta", date: dateAt(-1) },
  ]);
});
