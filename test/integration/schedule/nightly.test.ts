import { afterEach, beforeEach, expect, test } from "vitest";
import { MAX_PLAN_ATTEMPTS } from "../../../src/db/postgres/runs/runs.ts";
import { cancelRun } from "../../../src/db/postgres/runs/control.ts";
import { startWorker, type WorkerApp } from "../../../src/app.ts";
import type { Run } from "../../../src/db/postgres/runs/run.ts";
import { nightlyThrough } from "../../../src/db/postgres/watermarks.ts";
import { nightlyRequest, occurrenceOf } from "../../../src/schedule/schedules.ts";
import { Services } from "../../../src/services.ts";
import { addDays } from "../../support/civil-day.ts";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { event } from "../../support/sample.ts";
import { zoneBeforeNoon } from "../../support/quiet-hours.ts";
import { PermitGate } from "../../support/permit-gate.ts";
import { until } from "../../support/until.ts";
import { useWorldForEach } from "../../support/world.ts";

const HOUR = 3_600_000;
/** The nightly slot of today: it was due an hour ago, and the next one comes in more than twenty hours. */
const SLOT_AT = Math.floor(Date.now() / HOUR) * HOUR - HOUR;
const SETTINGS = {
  NIGHTLY_CRON: `0 ${new Date(SLOT_AT).getUTCHours()} * * *`,
  USAGE_TIMEZONE: zoneBeforeNoon(),
  MONGODB_CONCURRENCY: "1",
  WORKER_CONCURRENCY: "1",
};

const world = useWorldForEach("nightly", SETTINGS);
let today: string;
const started: { services: Services; app: WorkerApp | undefined }[] = [];
beforeEach(() => {
  today = world.services.today();
});
afterEach(async () => {
  for (const { app } of started) await app?.stop();
  for (const { services } of started.splice(0)) await services.close();
});

/** A worker with connections of its own, in this process. */
async function startOne(): Promise<WorkerApp> {
  const own: (typeof started)[number] = { services: new Services(world.config, world.services.log), app: undefined };
  started.push(own);
  return (own.app = await startWorker(own.services));
}

/** So many days ago. */
const ago = (days: number) => addDays(today, -days);

async function setWatermark(through: string): Promise<void> {
  await world.pool.query("INSERT INTO usage_meta VALUES ('nightly', jsonb_build_object('through', $1::text))", [
    through,
  ]);
}

const watermark = () => nightlyThrough(world.pool);

async function nightlyRuns(): Promise<Run[]> {
  return (await (await world.services.runs()).list(100)).filter(({ kind }) => kind === "nightly");
}

/** The nightly run, once it has ended. */
const ended = () =>
  until("end of the nightly run", async () => (await nightlyRuns()).find(({ finishedAt }) => finishedAt));

async function rowsOf(tenant: string): Promise<string[]> {
  const { rows } = await world.pool.query<{ date: string }>(
    "SELECT date::text FROM daily_usage_cache WHERE tenant_id = $1 ORDER BY date",
    [tenant],
  );
  return rows.map(({ date }) => date);
}

async function computed(tenant: string): Promise<unknown> {
  const { rows } = await world.pool.query(
    "SELECT computed_from::text AS from, computed_through::text AS through FROM usage_tenant WHERE tenant_id = $1",
    [tenant],
  );
  return rows[0];
}

const daysAgo = (first: number, last: number) => Array.from({ length: first - last + 1 }, (_, n) => ago(first - n));

test("a starting worker runs the missed nights, over each tenant's days and no others", async () => {
  await world.insert(daysOfEvents("acme", ago(12), 12));
  await world.insert(daysOfEvents("gone", ago(12), 6)); // its last events are of seven days ago
  await world.insert(daysOfEvents("silent", ago(12), 2));
  await setWatermark(ago(4)); // the nights of the day before yesterday, of yesterday and of today are missing
  await startOne();

  expect(await ended()).toMatchObject({ state: "done", from: ago(7), to: ago(1), requestedBy: "schedule" });
  expect(await watermark()).toBe(ago(1));
  expect(await rowsOf("acme")).toEqual(daysAgo(7, 1));
  expect(await rowsOf("gone")).toEqual([ago(7)]);
  expect(await rowsOf("silent")).toEqual([]);
  expect(await computed("acme")).toEqual({ from: ago(7), through: ago(1) });
  expect(await computed("gone")).toEqual({ from: ago(7), through: ago(1) }); // no later events, as far as was searched
  expect(await computed("silent")).toEqual({ from: null, through: null });
});

test("of ten workers that start at once one makes the run, and none of a later start makes another", async () => {
  await world.insert(daysOfEvents("acme", ago(3), 3));
  await Promise.all(Array.from({ length: 10 }, () => startOne()));
  const { id } = await ended();
  await startOne();
  const slots = await world.pool.query("SELECT id, dedupe_key FROM usage_run WHERE kind = 'nightly'");
  expect(slots.rows).toEqual([{ id, dedupe_key: `nightly|${occurrenceOf(new Date(SLOT_AT))}` }]);
  expect(await watermark()).toBe(ago(1));
});

test("a tenant-day that fails is left to usage_dirty, and the watermark moves all the same", async () => {
  await world.insert(daysOfEvents("acme", ago(4), 4));
  // Two groups of one millisecond that do not fit into one answer, which nothing can part.
  const created_at = new Date(`${ago(2)}T12:00:00Z`);
  const users = ["a", "b"].map((letter) => letter.repeat(8_500_000));
  await world.insert(users.map((user_id) => event({ tenant_id: "crowd", user_id, created_at })));
  await world.insert(daysOfEvents("crowd", ago(1), 1));
  await startOne();

  expect(await ended()).toMatchObject({
    state: "failed",
    days: { failed: 1 },
    error: "0 chunks and 1 tenant-days failed",
  });
  expect(await watermark()).toBe(ago(1));
  const dirty = await world.pool.query("SELECT tenant_id, date::text FROM usage_dirty");
  expect(dirty.rows).toEqual([{ tenant_id: "crowd", date: ago(2) }]);
  expect(await rowsOf("acme")).toEqual(daysAgo(4, 1));
  expect(await rowsOf("crowd")).toEqual([ago(1)]);
  expect(await computed("crowd")).toEqual({ from: ago(1), through: ago(1) });
});

test("a run that is cancelled leaves the watermark where it was, and the next night begins there", async () => {
  await world.insert(daysOfEvents("acme", ago(9), 9));
  await setWatermark(ago(3));
  const gate = await PermitGate.create(world.env["DATABASE_URL"]);
  try {
    await gate.shut();
    await startOne();
    const run = await until("running", async () => (await nightlyRuns()).find(({ state }) => state === "running"));
    await cancelRun(world.pool, run.id, "test");
  } finally {
    await gate.close();
  }
  expect(await ended()).toMatchObject({ state: "cancelled", from: ago(6), to: ago(1) });
  expect(await watermark()).toBe(ago(3));
  const tomorrow = nightlyRequest(occurrenceOf(new Date(SLOT_AT + 24 * HOUR)), await watermark(), world.config);
  expect(tomorrow).toMatchObject({ from: ago(6), to: today });
});

test("the watermark never moves back, nor by a run that could not be planned, nor by one that is no nightly", async () => {
  const runs = await world.services.runs();
  const ask = async (kind: "nightly" | "backfill", to: string, dedupeBy: string) =>
    (await runs.create({ kind, from: ago(9), to, requestedBy: "test", dedupeBy })).id;
  const end = async (id: string) => {
    await runs.plan(id, []);
    expect(await runs.finish(id)).toBe("done");
  };
  await end(await ask("backfill", ago(1), "backfill"));
  const unplanned = await ask("nightly", ago(1), "never planned");
  for (let attempt = 1; attempt <= MAX_PLAN_ATTEMPTS; attempt++) await runs.planFailed(unplanned, "no");
  expect((await runs.get(unplanned))?.state).toBe("failed");
  expect(await watermark()).toBeUndefined();
  for (const [days, expected] of [
    [3, 3],
    [5, 3],
    [2, 2],
  ] as const) {
    // prettier-ignore
    await end(await ask("nightly", ago(days), `${days} days ago`));
    expect(await watermark()).toBe(ago(expected));
  }
});
