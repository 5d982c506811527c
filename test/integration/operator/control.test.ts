import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { chunksOf, claimChunk, expireLeases, workOff } from "../../support/claimed.ts";
import { BulkQueue } from "../../support/bulk-queue.ts";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { endProcesses, run, startWorker, untilWorked, type Ended } from "../../support/process.ts";
import { HeldDay } from "../../support/held-day.ts";
import { openedForEach } from "../../support/opened.ts";
import { PermitGate } from "../../support/permit-gate.ts";
import { storedRows } from "../../support/stored-rows.ts";
import { useWorldForEach } from "../../support/world.ts";

/** 400 tenant-days: several chunks, many batches */
const RANGE = { from: "2025-01-01", to: "2026-02-04" };
const NO_WORKER = "No worker is running, so nothing starts yet. Start one with: tallyman worker\n";

const world = useWorldForEach("control", { MONGODB_CONCURRENCY: "1", WORKER_CONCURRENCY: "1" });
const gate = openedForEach(() => PermitGate.create(world.env["DATABASE_URL"]));
beforeEach(async () => {
  await world.insert(daysOfEvents("acme", RANGE.from, 400));
  await world.insert(daysOfEvents("other", RANGE.from, 1));
});
afterEach(endProcesses); // before the gate is let go

const say = (...args: string[]): Promise<Ended> => run(world.env, ...args);
const rowsOfAcme = async () => new Map([...(await storedRows(world.pool))].filter(([key]) => key.startsWith("acme|")));
const written = async () => (await rowsOfAcme()).size;
/** The numbers of the chunks that a living process works on. */
const inHand = async (id: string) => {
  const { rows } = await world.pool.query<{ number: number }>(
    `SELECT number FROM usage_chunk
      WHERE run_id = $1 AND state = 'running' AND lease_until > clock_timestamp() ORDER BY number`,
    [id],
  );
  return rows.map(({ number }) => number);
};
const getRun = async (id: string) => (await world.services.runs()).get(id);

async function backfill(): Promise<string> {
  const asked = await say("backfill", "--tenant", "acme", "--from", RANGE.from, "--to", RANGE.to, "--json");
  expect(asked.stderr).toBe(NO_WORKER);
  return (JSON.parse(asked.stdout) as { run: { id: string } }).run.id;
}

describe("cancel and resume", () => {
  test("of a run that workers are at: not a row more is written, and resume does what is missing, once", async () => {
    const id = await backfill();
    // Four chunks of a hundred days; a process that died had done ten days of the last one.
    const parts = chunksOf([{ tenant: "acme", ...RANGE }], 100);
    await (await world.services.runs()).plan(id, parts);
    await workOff(world, await claimChunk(world, id, 3), 10);
    await expireLeases(world);

    await gate.shut();
    await Promise.all([startWorker(world.env), startWorker(world.env)]);
    await untilWorked("two chunks in hand", async () => (await inHand(id)).join() === "0,1");
    // Both are read to their ends and not done before the gate is shut again: so the next ones are not begun.
    const ends = parts.slice(0, 2).map(({ spans }) => spans.at(-1)?.to as string);
    const held = await Promise.all(ends.map((date) => HeldDay.hold(world.env["DATABASE_URL"], "acme", date)));
    await gate.open();
    await Promise.all(held.map((day) => day.awaited()));
    await gate.shut();
    await Promise.all(held.map((day) => day.letGo()));
    await untilWorked("the other two in hand", async () => (await inHand(id)).join() === "2,3"); // each before a read
    const before = await written();
    expect(before).toBe(210);
    const cancelled = await say("runs", "cancel", id, "--by", "ops");
    expect([cancelled.code, cancelled.stderr]).toEqual([0, ""]);
    const atCancel = await written();
    await gate.open();
    // What was read before the cancel would be written now. The workers are free again when they take this one.
    const other = await say("backfill", "--tenant", "other", "--from", RANGE.from, "--to", RANGE.from, "--watch");
    expect(other.code).toBe(0);
    expect(await written()).toBe(atCancel);
    expect(atCancel).toBe(before);
    expect(await getRun(id)).toMatchObject({ state: "cancelled", cancelledBy: "ops", days: { written: before } });
    const again = await say("runs", "cancel", id);
    expect([again.code, again.stderr]).toEqual([1, `tallyman: Run ${id} is cancelled already.\n`]);

    const revisions = await rowsOfAcme();
    expect(revisions.size).toBe(before);
    const resumed = await say("runs", "resume", id, "--watch");
    expect(resumed.code).toBe(0);
    expect(await getRun(id)).toMatchObject({ state: "done", cancelledBy: null, error: null });
    const { days } = (await getRun(id)) as { days: Record<string, number> };
    expect(days).toEqual({ planned: 400, written: 400, unchanged: 0, stale: 0, refused: 0, failed: 0 });
    const rows = await rowsOfAcme();
    expect(rows.size).toBe(400);
    for (const [key, { ctid }] of revisions) expect(rows.get(key)?.ctid, key).toBe(ctid); // not done again
    const nothing = await say("runs", "resume", id);
    expect(nothing.code).toBe(1);
    expect(nothing.stderr).toContain("is done. Only a failed or cancelled run can be resumed");
  });

  test("of a run that is not planned yet: the resumed run is planned", async () => {
    const id = await backfill();
    expect((await say("runs", "cancel", id)).code).toBe(0);
    await startWorker(world.env);
    const twin = await say("backfill", "--tenant", "acme", "--from", RANGE.from, "--to", RANGE.to, "--watch", "--json");
    expect(twin.code).toBe(0);
    expect((await getRun(id))?.state).toBe("cancelled");
    expect((await say("runs", "resume", id, "--watch")).code).toBe(0);
    expect(await getRun(id)).toMatchObject({ state: "done", days: { planned: 400, unchanged: 400 } });
  });

  test("a run like one that is unfinished is not resumed", async () => {
    const id = await backfill();
    expect((await say("runs", "cancel", id)).code).toBe(0);
    await backfill();
    const resumed = await say("runs", "resume", id);
    expect([resumed.code, resumed.stderr]).toEqual([
      1,
      `tallyman: Another run of the same range as ${id} is not finished yet. See it with: tallyman runs list\n`,
    ]);
  });
});

test("a paused queue begins nothing, also when Redis has forgotten the pause and everything else", async () => {
  const paused = await say("queues", "pause", "bulk", "--json");
  expect(JSON.parse(paused.stdout)).toMatchObject({
    queues: [
      { queue: "fresh", paused: false },
      { queue: "bulk", paused: true },
    ],
  });
  const asked = await say("backfill", "--tenant", "acme", "--from", RANGE.from, "--to", RANGE.to);
  expect(asked.stderr).toBe(
    `${NO_WORKER}The queue bulk is paused, so nothing starts. Resume it with: tallyman queues resume bulk\n`,
  );
  const queue = new BulkQueue(world);
  try {
    await queue.obliterate({ force: true });
    expect(await queue.isPaused()).toBe(false);
    await startWorker(world.env); // its reconciler knows better
    await untilWorked("pause", () => queue.isPaused());
    const runs = await world.services.runs();
    const [pending] = await runs.list(5).then((all) => all.filter(({ kind }) => kind === "backfill"));
    await runs.plan(pending?.id as string, [{ spans: [{ tenant: "acme", ...RANGE }], days: 400 }]);
    expect(await (await world.services.chunks()).claim(pending?.id as string, 0)).toBeUndefined();
    expect(await written()).toBe(0);

    expect((await say("queues", "resume")).code).toBe(0);
    await untilWorked("end of the run", async () => (await getRun(pending?.id as string))?.state === "done");
    expect(await written()).toBe(400);
  } finally {
    await queue.close();
  }
});
