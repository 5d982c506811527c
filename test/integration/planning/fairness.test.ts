import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Runs } from "../../../src/db/postgres/runs/runs.ts";
import { PAYLOAD_VERSION } from "../../../src/jobs/job.ts";
import { rebuildRange } from "../../../src/jobs/rebuild-range.ts";
import { addDays } from "../../../src/usage/day.ts";
import { chunksOf } from "../../support/claimed.ts";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { endProcesses, run, startWorker, untilWorked } from "../../support/process.ts";
import { createWorld, type World } from "../../support/world.ts";

/** More chunks than the queue holds, and more than a worker does in a minute. */
const CHUNKS = 6_000;

vi.setConfig({ testTimeout: 180_000 }); // processes start slowly where others are busy too

let world: World;
let runs: Runs;
let long: string;
beforeEach(async () => {
  world = await createWorld("fair", { MONGODB_CONCURRENCY: "2", WORKER_CONCURRENCY: "1" });
  runs = await world.services.runs();
  const range = { from: "2000-01-01", to: addDays("2000-01-01", CHUNKS / 2 - 1) };
  const wish = { kind: "backfill", requestedBy: "test", tenants: ["one", "two"], ...range } as const;
  const spans = wish.tenants.map((tenant) => ({ tenant, ...range }));
  long = (await runs.createRunning(world.services.request(wish), chunksOf(spans, 1))).id;
  await (await world.services.queues()).dispatch(runs);
  await startWorker(world.env);
  await untilWorked("start of the long backfill", async () => (await left()) < CHUNKS - 20);
});
afterEach(async () => {
  await endProcesses();
  await world.close();
});

async function left(): Promise<number> {
  const { chunks } = (await runs.get(long)) as { chunks: { planned: number; done: number; failed: number } };
  expect(chunks).toMatchObject({ planned: CHUNKS, failed: 0 });
  return CHUNKS - chunks.done;
}

const done = (id: string) => untilWorked("end of the run", async () => (await runs.get(id))?.state === "done");

test("a nightly run, and one that somebody asks for, end while a backfill of thousands of chunks waits", async () => {
  const to = addDays(world.services.today(), -1);
  const from = addDays(to, -2);
  await world.insert(daysOfEvents("acme", from, 3, 10));

  const before = await left();
  const nightly = world.services.request({ kind: "nightly", from, to, requestedBy: "test", slot: "night" });
  await runs.create(nightly);
  await (await world.services.queues()).enqueue(rebuildRange, { v: PAYLOAD_VERSION, runId: nightly.id }, "fresh");
  await done(nightly.id);
  expect((await runs.get(nightly.id))?.days).toMatchObject({ planned: 3, written: 3 });

  const asked = await run(world.env, "backfill", "--from", from, "--to", to, "--tenant", "acme", "--json");
  expect(asked.code).toBe(0);
  const { id } = (JSON.parse(asked.stdout) as { run: { id: string } }).run;
  await done(id);
  expect((await runs.get(id))?.days).toMatchObject({ planned: 3, unchanged: 3 });

  // The long one was not held up either, and is far from its end; the queue was full of it all the time.
  const after = await left();
  expect(after).toBeLessThan(before);
  expect(after).toBeGreaterThan(CHUNKS / 4);
  const [bulk] = (await (await world.services.queues()).counts()).filter(({ queue }) => queue === "bulk");
  expect(bulk?.waiting).toBeGreaterThan(400);
});
