import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { CacheRow } from "../../../src/db/postgres/cache/cache-row.ts";
import { upsertRows } from "../../../src/db/postgres/cache/rows.ts";
import type { Run } from "../../../src/db/postgres/runs/run.ts";
import { scaled } from "../../../src/usage/decimal.ts";
import { toDocuments } from "../../../src/usage/document.ts";
import { RollupBuilder } from "../../../src/usage/rollup.ts";
import { lockWaiters, stampAt } from "../../support/backends.ts";
import { store, claimed } from "../../support/claimed.ts";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { openedOnce } from "../../support/opened.ts";
import { endProcesses, run, startWorker } from "../../support/process.ts";
import { event } from "../../support/sample.ts";
import { storedRows } from "../../support/stored-rows.ts";
import { useWorld, useWorlds } from "../../support/world.ts";
import { changesIn, dirtyDays, doRun } from "../fencing/runs.ts";
import { SteppedClock } from "../fencing/stepped-clock.ts";
import { tableDifferences } from "../fencing/table.ts";

const DAY = "2026-03-01";
const ONE = { from: DAY, to: DAY };
const ALLOWED = { allowShrink: true, reason: "the tenant asked for its data to be deleted" };

const world = useWorld("shrink", { WORKER_CONCURRENCY: "4" });
const openWorld = useWorlds("settle");
const clock = openedOnce(() => SteppedClock.create(world.env["DATABASE_URL"]));
beforeEach(async () => {
  await world.reset();
  await clock.ahead("0");
});
afterEach(endProcesses);

const rebuild = (wish: object = {}) => doRun(world.services, { ...ONE, ...wish });
const rows = () => storedRows(world.pool);
const row = async () => (await rows()).get(`acme|${DAY}`);
const problems = async (id: string) => (await world.services.runs()).problems(id);
const refusal = (storedEvents: number | null, freshEvents: number) => ({
  tenant: "acme",
  date: DAY,
  reason: "fewer events",
  storedEvents,
  freshEvents,
});

/** Three events of a final day, stored; then one of them is gone. */
async function loseOne(): Promise<void> {
  await world.insert(daysOfEvents("acme", DAY, 1, 3));
  expect((await rebuild()).days).toMatchObject({ written: 1 });
  await world.events.deleteOne({ user_id: "user-1" });
}

describe("a final day with fewer events than its row", () => {
  test("is refused: the row stays byte for byte, and the run lists it with both counts", async () => {
    await loseOne();
    const [before, known] = [await rows(), await changesIn(world)];
    await world.pool.query("INSERT INTO usage_dirty (tenant_id, date, found_at) VALUES ('acme', $1, now())", [DAY]);
    await world.insert(daysOfEvents("other", DAY, 1));

    const { id, state, days, error } = await rebuild();
    expect({ state, error }).toEqual({ state: "done", error: null });
    expect(days).toEqual({ planned: 2, written: 1, unchanged: 0, stale: 0, refused: 1, failed: 0 });
    expect(await problems(id)).toEqual([
      { number: 0, state: "done", error: null, failedDays: [], refusedDays: [refusal(3, 2)] },
    ]);
    const after = await rows();
    expect(after.delete(`other|${DAY}`)).toBe(true);
    expect(after).toEqual(before);
    expect(await changesIn(world)).toHaveLength(known.length + 1); // the other tenant's
    expect(await dirtyDays(world)).toEqual([]);
    const undo = await world.pool.query("SELECT tenant_id FROM usage_undo WHERE run_id = $1", [id]);
    expect(undo.rows).toEqual([{ tenant_id: "other" }]);

    expect((await rebuild()).days).toMatchObject({ unchanged: 1, refused: 1 }); // however often it is asked for
  });

  test.each(["nightly", "refresh", "repair"] as const)("is refused to a %s too", async (kind) => {
    await loseOne();
    const before = await rows();
    expect(await rebuild({ kind })).toMatchObject({ state: "done", days: { planned: 1, refused: 1 } });
    expect(await rows()).toEqual(before);
  });

  test("is replaced by a run that may shrink days and has a reason", async () => {
    await loseOne();
    const left = await world.events.find({}, { promoteValues: false }).toArray();
    const shrunk = await rebuild(ALLOWED);
    expect(shrunk).toMatchObject({ state: "done", days: { written: 1, refused: 0 }, ...ALLOWED });
    expect(await tableDifferences(world, left)).toEqual([]);
    expect(await row()).toMatchObject({ source_events: "2", revision: "2" });
    expect(await changesIn(world)).toMatchObject([
      { revision: 1, old_requests: null, new_requests: "3" },
      { run_id: shrunk.id, revision: 2, old_requests: "3", new_requests: "2" },
    ]);
    await expect(rebuild({ allowShrink: true })).rejects.toThrow(/usage_run_shrink_has_reason/);
  });

  test("is written where another event took the place of the lost one", async () => {
    await loseOne();
    await world.insert([event({ user_id: "bob", prompt_tokens: 1_000 })]);
    expect((await rebuild()).days).toMatchObject({ written: 1, refused: 0 });
    expect(await row()).toMatchObject({ source_events: "3", revision: "2" });
  });
});

test("a day may shrink until it is final, and from that microsecond on not below what was read while it settled", async () => {
  const lose = async (user_id: string) => {
    expect((await world.events.deleteOne({ user_id })).deletedCount).toBe(1);
  };
  await world.insert(daysOfEvents("acme", DAY, 1, 3));
  await world.insert([event({ user_id: "bob" }), event({ user_id: "carol" }), event({ user_id: "dave" })]);
  const steps = [
    { at: "2026-03-01T18:00:00Z", state: "open", events: "6" },
    { at: "2026-03-01T23:59:59.999999Z", loses: "user-0", state: "open", events: "5" },
    { at: "2026-03-02T00:00:00Z", loses: "user-1", state: "settling", events: "4" },
    { at: "2026-03-03T23:59:59.999999Z", loses: "user-2", state: "settling", events: "3" },
  ];
  for (const { at, loses, ...expected } of steps) {
    await clock.still(at);
    if (loses) await lose(loses);
    expect((await rebuild()).days).toMatchObject({ written: 1, refused: 0 });
    expect(await row()).toMatchObject({ state: expected.state, source_events: expected.events });
  }
  const before = await row();
  await clock.still("2026-03-04T00:00:00Z");
  await lose("bob");
  const refused = await rebuild();
  expect(refused.days).toMatchObject({ written: 0, refused: 1 });
  expect((await problems(refused.id))[0]?.refusedDays).toEqual([refusal(3, 2)]);
  expect(await row()).toEqual(before); // the row still says "settling"
});

test("a row that was last read while its day was open is not shrunk once the day is final", async () => {
  await world.insert(daysOfEvents("acme", DAY, 1, 3));
  await clock.at("2026-03-01T18:00:00Z");
  await rebuild();
  const before = await row();
  expect(before?.state).toBe("open");
  await clock.ahead("0");
  await world.events.deleteOne({ user_id: "user-1" });
  expect((await rebuild()).days).toMatchObject({ refused: 1 });
  expect(await row()).toEqual(before);
});

test("SETTLE_HOURS of the process that reads decides when a day is final", async () => {
  const patient = await openWorld({ SETTLE_HOURS: "8760" });
  await patient.insert(daysOfEvents("acme", DAY, 1, 3));
  await doRun(patient.services, ONE);
  await patient.events.deleteOne({ user_id: "user-1" });
  const { rows: stored } = await patient.pool.query("SELECT state FROM daily_usage_cache");
  expect(stored).toEqual([{ state: "settling" }]);
  expect((await doRun(patient.services, ONE)).days).toMatchObject({ written: 1, refused: 0 });
});

/** A tenant-day of so many requests, ready to be stored. */
function rowOf(requests: number, readAt: string, state: CacheRow["state"] = "final"): CacheRow {
  const builder = new RollupBuilder();
  const sums = { requests, tokens: requests, prompt: requests, completion: 0, cost: scaled(BigInt(requests), -3) };
  builder.add({ keys: { user: "alice", model: "gpt-4o", provider: "openai" }, sums, malformed: 0 });
  const rollup = builder.build();
  const documents = toDocuments(rollup, { maxKeys: 100, maxRawRows: 100, maxBytes: 16 * 1024 * 1024 });
  const { totals, malformed } = rollup;
  return { tenant: "acme", date: DAY, documents, totals, malformed, readAt, state, isBeforeHorizon: false };
}

describe("the statement itself", () => {
  test("shrinks no row for a final day, unless it is told to", async () => {
    const stamp = () => stampAt(world.pool);
    const upsert = async (...[row, allow]: [CacheRow, Parameters<typeof upsertRows>[2]?]) =>
      (await upsertRows(world.pool, [row], allow)).size;
    expect(await upsert(rowOf(5, await stamp()))).toBe(1);
    const before = await rows();
    expect(await upsert(rowOf(4, await stamp()))).toBe(0);
    expect(await upsert(rowOf(4, await stamp()), { shrink: false, rewrite: true })).toBe(0);
    expect(await rows()).toEqual(before);
    expect(await upsert(rowOf(5, await stamp()))).toBe(1);
    expect(await upsert(rowOf(4, await stamp(), "settling"))).toBe(1);
    expect(await upsert(rowOf(3, await stamp(), "open"))).toBe(1);
    expect(await upsert(rowOf(2, await stamp()))).toBe(0);
    expect(await upsert(rowOf(2, await stamp()), { shrink: true, rewrite: false })).toBe(1);
    expect((await row())?.source_events).toBe("2");
  });

  test("holds where a row with more events comes between the look at the rows and the upsert", async () => {
    const claim = await claimed(world, [{ tenant: "acme", ...ONE }]);
    const [older, newer] = [await stampAt(world.pool, "-1 minute"), await stampAt(world.pool)];
    const client = await world.pool.connect();
    try {
      await client.query("BEGIN");
      await upsertRows(client, [rowOf(5, older)]);
      const waiting = store(world, claim, [rowOf(4, newer)], [], 1);
      await lockWaiters(world.pool, 1);
      await client.query("COMMIT");
      expect(await waiting).toEqual({ written: 0, unchanged: 0, stale: 0, refused: 1, failed: 0 });
    } finally {
      client.release();
    }
    expect(await row()).toMatchObject({ source_events: "5", revision: "1" });
    expect((await problems(claim.runId))[0]?.refusedDays).toEqual([refusal(5, 4)]);
    expect(await changesIn(world)).toEqual([]);
  });
});

describe("the commands", () => {
  const RANGE = ["--from", DAY, "--to", DAY, "--json"];
  const lastRun = (stdout: string) => (JSON.parse(stdout.trimEnd().split("\n").at(-1) as string) as { run: Run }).run;

  test("leave with 2 where rows were refused, inline and by workers; with --allow-shrink with 0", async () => {
    await loseOne();
    const before = await rows();
    const inline = await run(world.env, "rebuild", "--inline", ...RANGE);
    expect([inline.code, inline.stderr]).toEqual([2, ""]);
    expect(lastRun(inline.stdout)).toMatchObject({ state: "done", days: { planned: 1, refused: 1 } });

    await startWorker(world.env);
    const watched = await run(world.env, "backfill", ...RANGE, "--watch");
    expect([watched.code, watched.stderr]).toEqual([2, ""]);
    const { id, ...rest } = lastRun(watched.stdout);
    expect(rest).toMatchObject({ state: "done", days: { planned: 1, refused: 1 } });
    expect(await rows()).toEqual(before);
    const shown = await run(world.env, "runs", "show", id, "--json");
    expect(JSON.parse(shown.stdout)).toMatchObject({ problems: [{ refusedDays: [refusal(3, 2)] }] });

    const allowed = await run(world.env, "backfill", ...RANGE, "--watch", "--allow-shrink", "--reason", "deleted");
    expect([allowed.code, allowed.stderr]).toEqual([0, ""]);
    expect(lastRun(allowed.stdout)).toMatchObject({ allowShrink: true, reason: "deleted", days: { written: 1 } });
    expect(await row()).toMatchObject({ source_events: "2", revision: "2" });
  });
});
