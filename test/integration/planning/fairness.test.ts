import { randomUUID } from "node:crypto";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { RunRequest } from "../../../src/db/postgres/runs/request.ts";
import type { Runs } from "../../../src/db/postgres/runs/runs.ts";
import { PAYLOAD_VERSION } from "../../../src/task/payload.ts";
import { planRun } from "../../../src/jobs/plan-run.ts";
import { addDays } from "../../../src/usage/day.ts";
import { chunksOf } from "../../support/claimed.ts";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { endProcesses, run, startWorker, untilWorked } from "../../support/process.ts";
import { openedForEach } from "../../support/opened.ts";
import { PermitGate } from "../../support/permit-gate.ts";
import { useWorldForEach } from "../../support/world.ts";

/** More chunks than the queue holds. */
const CHUNKS = 6_000;

const world = useWorldForEach("fair", { MONGODB_CONCURRENCY: "2", WORKER_CONCURRENCY: "1" });
// Bulk work may have the second of the two permits: while it is held here, the long backfill stands still.
const gate = openedForEach(() => PermitGate.create(world.env["DATABASE_URL"], 2));
let runs: Runs;
let long: string;
beforeEach(async () => {
  await gate.shut();
  runs = await world.services.runs();
  const range = { from: "2000-01-01", to: addDays("2000-01-01", CHUNKS / 2 - 1) };
  const wish = { kind: "backfill", requestedBy: "test", tenants: ["one", "two"], ...range } as const;
  const spans = wish.tenants.map((tenant) => ({ tenant, ...range }));
  long = (await runs.createRunning(wish, chunksOf(spans, 1))).id;
  await (await world.services.queues()).dispatch(await world.services.due());
  await startWorker(world.env);
  await untilWorked("first chunk of the long backfill in hand", async () => {
    const { rows } = await world.pool.query("SELECT FROM usage_chunk WHERE run_id = $1 AND state = 'running'", [long]);
    return rows.length === 1;
  });
});
afterEach(endProcesses); // before the gate is let go

async function left(): Promise<number> {
  const { chunks } = (await runs.get(long)) as { chunks: { planned: number; done: number; failed: number } };
  expect(chunks).toMatchObject({ planned: CHUNKS, failed: 0 });
  return CHUNKS - chunks.done;
}

/** How many chunks of the long backfill are done, a row each; and how many were when a run ended. */
async function longDone(id: string): Promise<{ all: number; before: number }> {
  const { rows } = await world.pool.query<{ all: number; before: number }>(
    `SELECT count(*)::int AS "all", count(*) FILTER (WHERE c.cached_at < r.finished_at)::int AS before
       FROM daily_usage_cache c, usage_run r WHERE r.id = $1 AND c.tenant_id IN ('one', 'two')`,
    [id],
  );
  return rows[0] as { all: number; before: number };
}

const done = (id: string) => untilWorked("end of the run", async () => (await runs.get(id))?.state === "done");

test("a nightly run, and one that somebody asks for, end while a backfill of thousands of chunks waits", async () => {
  const to = addDays(world.services.today(), -1);
  const from = addDays(to, -2);
  await world.insert(daysOfEvents("acme", from, 3, 10));

  const nightly: RunRequest & { id: string } = {
    id: randomUUID(),
    kind: "nightly",
    from,
    to,
    requestedBy: "test",
    dedupeBy: "night",
  };
  await runs.create(nightly);
  await (await world.services.queues()).enqueue(planRun, { v: PAYLOAD_VERSION, runId: nightly.id }, "fresh");
  await done(nightly.id);
  expect((await runs.get(nightly.id))?.days).toMatchObject({ planned: 3, written: 3 });
  expect(await left()).toBe(CHUNKS); // it needs nothing that the long one has

  const asked = await run(world.env, "backfill", "--from", from, "--to", to, "--tenant", "acme", "--json");
  expect(asked.code).toBe(0);
  const [bulk] = (await (await world.services.queues()).counts()).filter(({ queue }) => queue === "bulk");
  expect(bulk?.waiting).toBeGreaterThan(400); // the queue is full of the long one
  expect(await left()).toBe(CHUNKS);
  await gate.open();
  const { id } = (JSON.parse(asked.stdout) as { run: { id: string } }).run;
  await done(id);
  expect((await runs.get(id))?.days).toMatchObject({ planned: 3, unchanged: 3 });
  // Its plan and its chunk go before all waiting chunks; only the chunk in hand and the next one went first.
  expect((await longDone(id)).before).toBeLessThanOrEqual(2);

  // The long one was not held up either.
  await untilWorked("progress of the long backfill", async () => (await longDone(id)).all > 20);
});
