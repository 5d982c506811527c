import { stampMillis } from "../../../src/usage/stamp.ts";
import { beforeEach, expect, test } from "vitest";
import { ArrivalReader } from "../../../src/db/mongo/arrivals.ts";
import { stampAt } from "../../support/backends.ts";
import { event } from "../../support/sample.ts";
import { rebuild } from "../../support/rebuild.ts";
import { storedRows } from "../../support/stored-rows.ts";
import { useWorld } from "../../support/world.ts";
import { eventsOf } from "../../support/event-collection.ts";
import { dateAt, DAY, dirty, follow, HOUR, idAt, noon, setWatermark, watermark, workOff, ZONE } from "./follow.ts";

const world = useWorld("arrivals", { USAGE_TIMEZONE: ZONE, SETTLE_HOURS: "8760" });
beforeEach(() => world.reset());

/** An event that arrived so many seconds ago (negative: will) for noon of a date. */
const arrived = (seconds: number, tenant_id: string, date: string, differs = {}) =>
  event({ _id: idAt(-seconds), tenant_id, created_at: noon(date), ...differs });

/** Two tenants, the ten days before yesterday, each event arrived on its day; all rebuilt. */
async function history(): Promise<void> {
  const days = Array.from({ length: 10 }, (_, n) => n + 2);
  await world.insert(["acme", "zeta"].flatMap((tenant) => days.map((n) => arrived(n * DAY, tenant, dateAt(-n)))));
  await rebuild(world, { from: dateAt(-11), to: dateAt(-2) });
}

test("a late event for an old day is found, and only its tenant-day is rebuilt", async () => {
  await history();
  const before = await storedRows(world.pool);
  expect(before.size).toBe(20);
  await world.insert([arrived(60, "acme", dateAt(-7), { prompt_tokens: 1_000 })]);

  const followed = await follow(world);
  expect(followed).toMatchObject({ events: 1, days: 1, differing: 1, moved: true, warnings: [] });
  const run = await workOff(world, followed.runId);
  expect(run).toMatchObject({
    kind: "refresh",
    state: "done",
    from: dateAt(-7),
    to: dateAt(-7),
    chunks: { planned: 1, done: 1 },
    days: { planned: 1, written: 1 },
  });
  const after = await storedRows(world.pool);
  const late = `acme|${dateAt(-7)}`;
  expect(after.get(late)).toMatchObject({ source_events: "2", prompt_tokens: "1010", revision: "2" });
  before.delete(late);
  after.delete(late);
  expect(after).toEqual(before); // not even touched: the stamps and the places on disk are the same
  expect(await dirty(world)).toEqual([]);
});

test("nothing new makes no run, though the overlap finds the same events again", async () => {
  await history();
  await world.insert([arrived(60, "acme", dateAt(-7))]);
  await workOff(world, (await follow(world)).runId);
  const again = await follow(world);
  expect(again).toMatchObject({ events: 1, days: 1, differing: 0, runId: null, moved: true });
  const { rows } = await world.pool.query("SELECT count(*)::int AS runs FROM usage_run WHERE kind = 'refresh'");
  expect(rows).toEqual([{ runs: 1 }]);
});

test("the watermark is the clock before the scan less the delay, never an id", async () => {
  await world.insert([arrived(-30 * DAY, "acme", dateAt(0)), arrived(600, "acme", dateAt(0))]);
  const before = stampMillis(await stampAt(world.pool));
  await follow(world);
  const through = Date.parse((await watermark(world)) as string);
  expect(through).toBeGreaterThanOrEqual(before - 10_000);
  expect(through).toBeLessThanOrEqual(stampMillis(await stampAt(world.pool)) - 10_000);
});

/**
 * Arrivals as they are read while a majority of the replica set has nothing newer than so many seconds ago.
 * @param ahead by so many seconds the primary's clock is ahead, where it says what time it has
 */
function heldBack(through: number, lastWrite: number, now: number, ahead?: number): ArrivalReader {
  const arrivals = new ArrivalReader(eventsOf(world), ZONE);
  const theirs = now + (ahead ?? 0) * 1_000;
  const [at, last] = [theirs - through * 1_000, theirs - lastWrite * 1_000];
  const clock = ahead === undefined ? {} : { now: theirs };
  arrivals.majority = () => Promise.resolve({ through: at, lastWrite: last, ...clock });
  return arrivals;
}

test("while a majority of MongoDB's members is away the watermark waits with it, and what was not seen is found later", async () => {
  const now = Date.now();
  await setWatermark(world, 2 * HOUR, now);
  const followed = await follow(world, { arrivals: heldBack(1.5 * HOUR, 30, now) });
  expect(followed).toMatchObject({ events: 0, moved: true });
  expect(followed.warnings).toMatchObject([{ through: new Date(now - 1.5 * HOUR * 1_000).toISOString() }]);
  expect(followed.warnings[0]?.msg).toMatch(/^too few members of MongoDB's replica set are up/);
  expect(Date.parse((await watermark(world)) as string)).toBe(now - 1.5 * HOUR * 1_000 - 10_000);
  // Stored long before the scan, but seen only now.
  await world.insert([arrived(HOUR, "acme", dateAt(-3))]);
  const later = await follow(world, { arrivals: heldBack(2, 1, now) });
  expect(later).toMatchObject({ events: 1, differing: 1, warnings: [] });
  await workOff(world, later.runId);
});

test("a majority that is a write behind, or an hour old with nothing written since, is no warning", async () => {
  const now = Date.now();
  await setWatermark(world, 60, now);
  expect(await follow(world, { arrivals: heldBack(20, 0, now) })).toMatchObject({ warnings: [] });
  expect(await follow(world, { arrivals: heldBack(HOUR, HOUR, now) })).toMatchObject({ warnings: [] });
  // A primary whose clock is ahead moves the watermark no further than our own clock.
  expect(await follow(world, { arrivals: heldBack(-HOUR, -HOUR, now) })).toMatchObject({ warnings: [] });
  expect(Date.parse((await watermark(world)) as string)).toBeLessThanOrEqual(Date.now() - 10_000);
});

test.each([
  ["an hour ahead", HOUR, 0],
  ["right", 0, 0],
  ["an hour behind", -HOUR, HOUR], // never past the majority point, by whichever clock
])("where the clock of MongoDB's primary is %s, the watermark waits with the majority", async (_, ahead, more) => {
  const now = Date.now();
  await setWatermark(world, 2 * HOUR, now);
  const before = stampMillis(await stampAt(world.pool));
  await follow(world, { arrivals: heldBack(HOUR / 2, 30, now, ahead) });
  const through = Date.parse((await watermark(world)) as string);
  const behind = (HOUR / 2 + more + 10) * 1_000;
  expect(through).toBeGreaterThanOrEqual(Math.min(before, now) - behind - 1);
  expect(through).toBeLessThanOrEqual(stampMillis(await stampAt(world.pool)) - behind);
});

test.each([
  ["900", 600, 1], // as a producer whose clock is late, or a transaction that took its time
  ["900", 1_200, 0],
  ["60", 600, 0],
  ["1800", 1_200, 1],
])("with an overlap of %s s, an event whose id is %i s old is found %i times", async (overlap, age, times) => {
  const now = Date.now();
  await setWatermark(world, 60, now);
  await world.insert([arrived(age, "acme", dateAt(-3), { _id: idAt(-age, now) })]);
  const refresh = { delaySeconds: 10, overlapSeconds: Number(overlap) };
  expect(await follow(world, { refresh })).toMatchObject({ events: times, differing: times });
});

test("ids from the future are found, and found again until then, which is harmless", async () => {
  await setWatermark(world, 60);
  await world.insert([arrived(-30 * DAY, "acme", dateAt(-1))]);
  const first = await follow(world);
  expect(first).toMatchObject({ events: 1, differing: 1 });
  await workOff(world, first.runId);
  for (let times = 0; times < 2; times++) {
    expect(await follow(world)).toMatchObject({ events: 1, days: 1, differing: 0, runId: null });
  }
  // The future id has not moved the watermark past what arrives now.
  await world.insert([arrived(0, "acme", dateAt(-1))]);
  const second = await follow(world);
  expect(second).toMatchObject({ events: 2, differing: 1 });
  await workOff(world, second.runId);
  expect((await storedRows(world.pool)).get(`acme|${dateAt(-1)}`)).toMatchObject({ source_events: "2" });
});

test("ids from last month are not found; a backfill finds their day", async () => {
  await history();
  await world.insert([arrived(30 * DAY, "acme", dateAt(-5))]);
  expect(await follow(world)).toMatchObject({ events: 0, runId: null });
  await rebuild(world, { from: dateAt(-5), to: dateAt(-5) });
  expect((await storedRows(world.pool)).get(`acme|${dateAt(-5)}`)).toMatchObject({ source_events: "2" });
});

test("a watermark that lies ahead, of a clock that was wrong, hides nothing", async () => {
  await setWatermark(world, -2 * DAY);
  await world.insert([arrived(600, "acme", dateAt(-1))]);
  expect(await follow(world)).toMatchObject({ events: 1, differing: 1, moved: true });
  expect(Date.parse((await watermark(world)) as string)).toBeLessThan(stampMillis(await stampAt(world.pool)));
});

test("a watermark that a later version stored with one more field is moved too", async () => {
  await setWatermark(world, HOUR);
  await world.pool.query(`UPDATE usage_meta SET value = value || '{"by": "later"}' WHERE name = 'arrivals'`);
  const before = await watermark(world);
  expect(await follow(world)).toMatchObject({ moved: true });
  expect(await watermark(world)).not.toBe(before);
});

test("after a week of standstill everything since is found", async () => {
  await history();
  await setWatermark(world, 7 * DAY);
  await world.insert(Array.from({ length: 6 }, (_, n) => arrived((n + 1) * DAY, "acme", dateAt(-7 - n))));
  const followed = await follow(world);
  expect(followed).toMatchObject({ differing: 5 + 1 }); // -12 has no row yet
  expect(await workOff(world, followed.runId)).toMatchObject({ days: { planned: 6, written: 6 } });
});

test("a tenant that nobody knew becomes known, with the days of its events", async () => {
  await history();
  await world.insert([arrived(60, "newcomer", dateAt(-9)), arrived(50, "newcomer", dateAt(-4))]);
  await workOff(world, (await follow(world)).runId);
  const { rows } = await world.pool.query(
    "SELECT first_day::text, last_day::text FROM usage_tenant WHERE tenant_id = 'newcomer'",
  );
  expect(rows).toEqual([{ first_day: dateAt(-9), last_day: dateAt(-4) }]);
  expect([...(await storedRows(world.pool)).keys()].filter((key) => key.startsWith("newcomer"))).toEqual([
    `newcomer|${dateAt(-9)}`,
    `newcomer|${dateAt(-4)}`,
  ]);
});

test("invisible events are counted by their reason, and dirty nothing", async () => {
  await world.insert([
    arrived(60, "acme", dateAt(-1)),
    arrived(60, "", dateAt(-1)),
    arrived(60, "x".repeat(513), dateAt(-1)),
    arrived(60, "acme", dateAt(-1), { tenant_id: undefined }),
    arrived(60, "acme", dateAt(-1), { tenant_id: 1.5 }),
    arrived(60, "acme", dateAt(-1), { created_at: undefined }),
    arrived(60, "acme", dateAt(-1), { created_at: [noon(dateAt(-1))] }),
    arrived(60, "acme", dateAt(-1), { created_at: dateAt(-1) }),
    arrived(60, "acme", dateAt(2)),
    arrived(60, "acme", "1999-12-31"),
  ]);
  const { warnings, ...followed } = await follow(world);
  expect(followed).toMatchObject({ events: 10, days: 1, differing: 1 });
  expect(warnings).toMatchObject([
    {
      msg: "events arrived that no rebuild can see",
      events: {
        tenantEmpty: 1,
        tenantTooLong: 1,
        tenantMissing: 1,
        tenantType: 1,
        createdAtMissing: 1,
        createdAtType: 2,
        dayOutOfRange: 2,
      },
    },
  ]);
  expect(await dirty(world)).toEqual([`acme ${dateAt(-1)}`]);
});

test("pages end at a number of tenant-days and go on behind their last event", async () => {
  const days = Array.from({ length: 7 }, (_, n) => dateAt(-1 - n));
  await world.insert(days.flatMap((date) => [arrived(HOUR, "acme", date), arrived(HOUR, "zeta", date)]));
  const { arrivals } = await world.services.source();
  const signal = new AbortController().signal;
  const found: string[] = [];
  const sizes: number[] = [];
  let page = await arrivals.page({ since: Date.now() - 2 * HOUR * 1_000 }, dateAt(0), signal, 4);
  for (;;) {
    found.push(...page.days.map(({ tenant, date }) => `${tenant} ${date}`));
    sizes.push(page.events);
    if (!page.next) break;
    page = await arrivals.page(page.next, dateAt(0), signal, 4);
  }
  expect(sizes).toEqual([4, 4, 4, 2]);
  expect(found.sort()).toEqual(days.flatMap((date) => [`acme ${date}`, `zeta ${date}`]).sort());
});

test("arrivals that fill several pages are all found", async () => {
  const days = Array.from({ length: 7 }, (_, n) => dateAt(-1 - n));
  await world.insert([...days.map((date) => arrived(60, "acme", date)), arrived(60, "", dateAt(-1))]);
  const arrivals = new ArrivalReader(eventsOf(world), ZONE);
  const page = arrivals.page.bind(arrivals);
  arrivals.page = (start, today, signal) => page(start, today, signal, 2);
  const { warnings, ...followed } = await follow(world, { arrivals });
  expect(followed).toMatchObject({ events: 8, days: 7, differing: 7 });
  expect(warnings).toMatchObject([{ events: { tenantEmpty: 1 } }]);
  expect(await workOff(world, followed.runId)).toMatchObject({ days: { planned: 7, written: 7 } });
});
