import { hostname } from "node:os";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Run } from "../../../src/db/postgres/runs/run.ts";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { endProcesses, run, start, startWorker, type Command, type Ended, untilWorked } from "../../support/process.ts";
import { HeldDay } from "../../support/held-day.ts";
import { openedForEach } from "../../support/opened.ts";
import { PermitGate } from "../../support/permit-gate.ts";
import { useWorldForEach } from "../../support/world.ts";

/** 256 tenant-days: two chunks */
const RANGE = ["--from", "2025-03-01", "--to", "2025-11-11"];
const FIRST_CHUNK_ENDS = "2025-07-06";
const REBUILD = ["rebuild", "--inline", ...RANGE, "--json"];

const world = useWorldForEach("inline", { MONGODB_CONCURRENCY: "1", WORKER_CONCURRENCY: "1" });
const gate = openedForEach(() => PermitGate.create(world.env["DATABASE_URL"]));

beforeEach(async () => {
  await world.insert(daysOfEvents("acme", "2025-03-01", 256));
});
afterEach(endProcesses); // before the gate is let go

const chunks = async (): Promise<{ state: string; attempts: number; claimed_by: string | null }[]> =>
  (await world.pool.query("SELECT state, attempts, claimed_by FROM usage_chunk ORDER BY number")).rows as Awaited<
    ReturnType<typeof chunks>
  >;

const runOf = ({ stdout }: Ended): Run => (JSON.parse(stdout) as { run: Run }).run;

/** Starts a rebuild and stops the world in the middle of its second chunk. */
async function startToTheMiddle(): Promise<{ rebuild: Command; runId: string }> {
  await gate.shut();
  const rebuild = start(world.env, REBUILD);
  await untilWorked("first chunk claimed", async () => (await chunks())[0]?.state === "running");
  // The first chunk is read to its end and not done before the gate is shut again: so the second one is not begun.
  const held = await HeldDay.hold(world.env["DATABASE_URL"], "acme", FIRST_CHUNK_ENDS);
  await gate.open();
  await held.awaited();
  await gate.shut();
  await held.letGo();
  await untilWorked("second chunk in hand", async () => (await chunks())[1]?.state === "running");
  expect((await chunks())[0]?.state).toBe("done");
  const { rows } = await world.pool.query<{ id: string }>("SELECT id FROM usage_run WHERE kind = 'backfill'");
  expect(rows).toHaveLength(1);
  return { rebuild, runId: rows[0]?.id as string };
}

/** A dead process' claim ends with its lease, a minute after its last renewal: the minute is taken off here. */
async function letLeasesEnd(): Promise<void> {
  await world.pool.query("UPDATE usage_chunk SET lease_until = now() - interval '1 second' WHERE state = 'running'");
}

async function expectWhole(runId: string): Promise<void> {
  const { rows } = await world.pool.query(
    "SELECT id, state, days_planned, days_written, chunks_done FROM usage_run WHERE kind = 'backfill'", // no worker's night
  );
  expect(rows).toEqual([{ id: runId, state: "done", days_planned: 256, days_written: 256, chunks_done: 2 }]);
  const table = await world.pool.query(
    "SELECT count(*)::int AS days, sum(source_events)::int AS n FROM daily_usage_cache",
  );
  expect(table.rows).toEqual([{ days: 256, n: 256 }]);
  expect((await chunks()).every(({ attempts }) => attempts === 0)).toBe(true);
}

describe("an inline rebuild", () => {
  test("keeps what was done when interrupted, and is resumed by the same command", async () => {
    const { rebuild, runId } = await startToTheMiddle();
    rebuild.signal("SIGINT");
    const interrupted = await rebuild.ended; // though there is no permit for it: the gate is shut still
    expect(interrupted).toMatchObject({
      code: 4,
      stdout: "",
      stderr:
        "tallyman: interrupted; finished work is kept. Run the same command again to resume; running workers resume it too.\n",
    });
    const left = await chunks();
    expect(left.map(({ state }) => state)).toEqual(expect.arrayContaining(["done", "pending"]));
    expect(left.every(({ state, attempts }) => state !== "running" && attempts === 0)).toBe(true);

    await gate.open();
    const second = await run(world.env, ...REBUILD);
    expect([second.code, second.stderr]).toEqual([0, ""]);
    expect(runOf(second).id).toBe(runId);
    await expectWhole(runId);
  });

  test("is adopted by the same command after it was killed", async () => {
    const { rebuild, runId } = await startToTheMiddle();
    rebuild.signal("SIGKILL");
    await rebuild.ended;
    await letLeasesEnd();
    await gate.open();
    const second = await run(world.env, ...REBUILD);
    expect([second.code, second.stderr]).toEqual([0, ""]);
    expect(runOf(second).id).toBe(runId);
    await expectWhole(runId);
  });

  test("is left alone while its process lives: the same command exits with 3, workers take nothing of it", async () => {
    const { rebuild, runId } = await startToTheMiddle();
    const second = await run(world.env, ...REBUILD);
    expect([second.code, second.stdout]).toEqual([3, ""]);
    expect(second.stderr).toBe(
      `tallyman: Run ${runId} is being worked on by another process. Wait for it, or watch it with: tallyman runs show ${runId}\n`,
    );

    await startWorker(world.env); // it prints its address only after it has reconciled
    await untilWorked("end of the night that a starting worker makes up", async () => {
      const { rows } = await world.pool.query("SELECT FROM usage_run WHERE kind = 'nightly' AND state = 'done'");
      const [fresh] = await (await world.services.queues()).counts();
      return rows.length === 1 && fresh?.queue === "fresh" && fresh.waiting + fresh.active === 0;
    });
    const { queues } = JSON.parse((await run(world.env, "status", "--json")).stdout) as { queues: unknown };
    expect(queues).toEqual([
      { queue: "fresh", waiting: 0, active: 0, delayed: 0 },
      { queue: "bulk", waiting: 0, active: 0, delayed: 0 },
    ]);
    await gate.open();
    expect((await rebuild.ended).code).toBe(0);
    await expectWhole(runId);
    expect((await chunks()).map(({ claimed_by }) => claimed_by)).toEqual(Array(2).fill(`${hostname()}:${rebuild.pid}`));
  });

  test("is finished by the workers when its process was killed and nobody calls again", async () => {
    const { rebuild, runId } = await startToTheMiddle();
    rebuild.signal("SIGKILL");
    await rebuild.ended;
    await letLeasesEnd();
    await gate.open();
    const worker = await startWorker(world.env);
    await untilWorked("end of the run", async () =>
      (await world.services.runs()).get(runId).then((r) => r?.state === "done"),
    );
    await expectWhole(runId);
    expect((await chunks()).at(-1)?.claimed_by).toBe(`${hostname()}:${worker.pid}`);
  });
});
