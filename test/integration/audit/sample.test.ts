import { stampMillis } from "../../../src/usage/stamp.ts";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { auditSample as job } from "../../../src/jobs/audit-sample.ts";
import { PAYLOAD_VERSION } from "../../../src/task/payload.ts";
import { RECORDED_DRIFT } from "../../../src/db/postgres/cache/audits.ts";
import type { Queues } from "../../../src/queues/queues.ts";
import { schedules, type TickActions } from "../../../src/schedule/schedules.ts";
import { stampAt } from "../../support/backends.ts";
import { addDays } from "../../support/civil-day.ts";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { endProcesses, run, startWorker, untilWorked } from "../../support/process.ts";
import { todayIn, zoneBeforeNoon } from "../../support/quiet-hours.ts";
import { rebuild } from "../../support/rebuild.ts";
import { storedRows } from "../../support/stored-rows.ts";
import { useWorld } from "../../support/world.ts";
import { arrived } from "./arrived.ts";
import { auditContext } from "./audited.ts";
import { auditOccurrence } from "../../../src/audit/audit.ts";

const SLOT = "2026-11-21T0445Z";
const ZONE = zoneBeforeNoon();
const today = todayIn(ZONE);

const world = useWorld("sample", { LOG_LEVEL: "error", USAGE_TIMEZONE: ZONE });
let queues: Queues;
beforeAll(async () => {
  await world.insert(arrived(daysOfEvents("acme", "2026-03-01", 40), 3_600));
  await world.insert(arrived(daysOfEvents("recent", addDays(today, -9), 9), 3_600));
  await rebuild(world, { from: "2026-03-01", to: today, tenants: undefined });
  queues = await world.services.queues();
});
beforeEach(async () => {
  await world.empty("usage_audit"); // the rows that are audited stay
});
afterEach(endProcesses);

interface Row {
  slot: string | null;
  requested_by: string;
  days_checked: number;
  days_deep: number;
  days_drifted: number;
  invisible_events: object | null;
  drift: { tenant: string; date: string }[];
}
const rows = async (): Promise<Row[]> => (await world.pool.query<Row>("SELECT * FROM usage_audit ORDER BY id")).rows;

/** When the only audit ended, in seconds since 1970. */
async function finishedAt(): Promise<number> {
  const { rows } = await world.pool.query<{ at: number }>(
    "SELECT extract(epoch FROM finished_at)::float8 AS at FROM usage_audit",
  );
  expect(rows).toHaveLength(1);
  return rows[0]?.at as number;
}

async function metricsOf(address: string): Promise<Record<string, number>> {
  const answer = await fetch(`${address}/metrics`);
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  const lines = (await answer.text()).split("\n").filter((line) => line.startsWith("tallyman_audit_"));
  return Object.fromEntries(
    lines.map((line): [string, number] => [line.split(" ")[0] ?? "", Number(line.split(" ")[1])]),
  );
}

test("the tick enqueues the job of its slot, with a payload that the job understands", async () => {
  const tick = schedules(world.config).find(({ name }) => name === "audit");
  const enqueued: unknown[] = [];
  const actions: Pick<TickActions, "enqueue"> = {
    enqueue: (which, payload) => Promise.resolve(void enqueued.push(which, job.payload.parse(payload))),
  };
  await tick?.tick("2026-11-21T04:45Z", actions as TickActions);
  expect(enqueued).toEqual([job, { v: PAYLOAD_VERSION, slot: SLOT }]);
});

test("two workers audit one sample a slot, log its drift as an error, touch nothing, and show the same metrics", async () => {
  await world.pool.query(
    "UPDATE daily_usage_cache SET total_tokens = 0 WHERE tenant_id = 'acme' AND date = '2026-03-09'",
  );
  const before = await storedRows(world.pool);
  const workers = await Promise.all([startWorker(world.env), startWorker(world.env)]);
  const addresses = workers.map(({ address }) => address);
  const none = {
    tallyman_audit_drifted_days: 0,
    tallyman_audit_checked_days: 0,
    tallyman_audit_last_timestamp_seconds: 0,
  };
  for (const address of addresses) expect(await metricsOf(address)).toEqual(none);

  const payload = { v: PAYLOAD_VERSION, slot: SLOT } as const;
  const begun = await stampAt(world.pool);
  const idle = async () => (await queues.counts()).every(({ waiting, active }) => waiting + active === 0);
  await queues.enqueue(job, payload, "bulk");
  await untilWorked("row of the slot", async () => (await rows()).length > 0);
  for (let again = 0; again < 3; again++) {
    await untilWorked("end of the job", idle);
    await queues.enqueue(job, payload, "bulk"); // a replica whose clock is behind
  }
  await untilWorked("end of the jobs", idle);

  const [row, ...others] = await rows();
  expect(others).toEqual([]);
  // 40 days of acme and those of recent that are final, all of them; the gap between has no tenant
  expect(row).toMatchObject({
    slot: SLOT,
    requested_by: "schedule",
    days_checked: 47,
    days_deep: 20,
    days_drifted: 1,
    invisible_events: null,
    drift: [{ tenant: "acme", date: "2026-03-09" }],
  });
  const logged = workers.flatMap((worker) => worker.stderr().split("\n").filter(Boolean));
  const errors = logged.map((line) => JSON.parse(line) as { level: number; msg: string; drift: unknown });
  expect(errors).toMatchObject([
    { level: 50, msg: "rows differ from their events", drift: [{ tenant: "acme", date: "2026-03-09" }] },
  ]);
  expect(await storedRows(world.pool)).toEqual(before);
  expect((await world.pool.query("SELECT 1 FROM usage_dirty")).rowCount).toBe(0);

  const [first, second] = await Promise.all(addresses.map(metricsOf));
  expect(first).toEqual(second);
  expect(first).toEqual({
    tallyman_audit_drifted_days: 1,
    tallyman_audit_checked_days: 47,
    tallyman_audit_last_timestamp_seconds: await finishedAt(),
  });
  expect(await finishedAt()).toBeGreaterThanOrEqual(stampMillis(begun) / 1_000);

  const ended = await run(world.env, "audit", "--from", "2026-03-01", "--to", "2026-03-05", "--json");
  expect(ended.code).toBe(0);
  // What somebody looked at by hand does not hide what the schedule found.
  for (const address of addresses) expect(await metricsOf(address)).toEqual(first);
});

test("two processes that are at one slot at once leave one row", async () => {
  const contexts = await Promise.all([auditContext(world), auditContext(world)]);
  const reports = await Promise.all(contexts.map((context) => auditOccurrence("2026-11-22T0445Z", context)));
  expect(await rows()).toHaveLength(1);
  expect(reports.filter((report) => report?.id !== undefined)).toHaveLength(1);
  expect(await auditOccurrence("2026-11-22T0445Z", contexts[0])).toBeUndefined();
});

test("a sample is drawn from every final tenant-day there is, each at most once", async () => {
  const audits = await world.services.audits();
  const keys = (days: { tenant: string; date: string }[]) => days.map(({ tenant, date }) => `${tenant}|${date}`);
  const all = keys(await audits.sample(42, "2026-03-05", addDays(today, -4))); // no more there are
  const acme = Array.from({ length: 36 }, (_, n) => `acme|${addDays("2026-03-05", n)}`);
  const recent = Array.from({ length: 6 }, (_, n) => `recent|${addDays(today, n - 9)}`);
  expect(all.sort()).toEqual([...acme, ...recent].sort());

  const seen = new Set<string>();
  for (let draw = 0; draw < 250; draw++) {
    const drawn = keys(await audits.sample(10, "2026-03-05", addDays(today, -4)));
    expect(new Set(drawn).size).toBe(drawn.length);
    for (const key of drawn) seen.add(key);
  }
  expect([...seen].sort()).toEqual(all); // all 250 draws miss a day once in 10^24 times
  expect(await audits.sample(10, addDays(today, -3), addDays(today, -4))).toEqual([]);
});

test("the list of drift in a row is bounded, its counts are not", async () => {
  const drift = Array.from({ length: RECORDED_DRIFT + 500 }, (_, n) => ({ tenant: `t${n}`, date: "2026-03-01" }));
  const counts = { deep: 0, equal: 0, pending: 0, drifted: drift.length, missing: 0, skipped: 0, failed: 0 };
  const audits = await world.services.audits();
  const stamp = await (await auditContext(world)).stamp();
  await audits.record({
    slot: null,
    requestedBy: "test",
    from: "2026-03-01",
    to: "2026-03-01",
    startedAt: stamp,
    days: { checked: drift.length, ...counts },
    invisible: null,
    finding: null,
    drift,
  });
  const [row] = await rows();
  expect(row?.days_drifted).toBe(1_500);
  expect(row?.drift).toEqual(drift.slice(0, 1_000));
});
