import { beforeEach, expect, test } from "vitest";
import type { DueWork } from "../../../src/db/postgres/runs/due.ts";
import type { Priority } from "../../../src/db/postgres/runs/run.ts";
import type { Runs } from "../../../src/db/postgres/runs/runs.ts";
import type { Queues } from "../../../src/queues/queues.ts";
import { BulkQueue } from "../../support/bulk-queue.ts";
import { chunksOf } from "../../support/claimed.ts";
import { openedForEach } from "../../support/opened.ts";
import { useWorldForEach } from "../../support/world.ts";

const world = useWorldForEach("turns");
const bulk = openedForEach(() => new BulkQueue(world));
let queues: Queues;
let runs: Runs;
let due: DueWork;
beforeEach(async () => {
  queues = await world.services.queues();
  [runs, due] = [await world.services.runs(), await world.services.due()];
});

const names = new Map<string, string>();

/** Starts a backfill of so many chunks. */
async function backfill(as: string, chunks: number, priority: Priority = 0): Promise<string> {
  const range = { from: "2000-01-01", to: "2025-12-31" };
  const wish = { kind: "backfill", requestedBy: "test", tenants: [as], priority, ...range } as const;
  const days = chunksOf([{ tenant: as, ...range }], 1).slice(0, chunks);
  const { id } = await runs.createRunning(wish, days);
  names.set(id, as);
  return id;
}

/** The jobs that a worker would take first: the name of the run and the number of the chunk, or "plan". */
async function nextJobs(count: number): Promise<string[]> {
  const waiting = await bulk.getJobs(["waiting"], 0, count - 1, true);
  const prioritized = await bulk.getJobs(["prioritized"], 0, count - 1, true);
  return [...waiting, ...prioritized].slice(0, count).map((job) => {
    const { runId, chunk } = job.data as { runId: string; chunk?: number };
    return `${names.get(runId)} ${chunk ?? "plan"}`;
  });
}

const held = () => bulk.getJobCountByTypes("waiting", "prioritized", "delayed");

test("a new run comes to its turn at once, although a long one fills the queue", async () => {
  await backfill("long", 3_000);
  await queues.dispatch(due);
  expect(await held()).toBe(1_000);
  expect(await nextJobs(3)).toEqual(["long 0", "long 1", "long 2"]);

  await backfill("short", 4);
  await queues.dispatch(due);
  expect(await nextJobs(9)).toEqual([
    "long 0",
    "short 0",
    "long 1",
    "short 1",
    "long 2",
    "short 2",
    "long 3",
    "short 3",
    "long 4",
  ]);
  expect(await held()).toBe(1_004);
  for (const as of ["b", "c", "d", "e", "f"]) {
    await backfill(as, 3_000);
    await queues.dispatch(due);
  }
  expect(await nextJobs(7)).toEqual(["long 0", "short 0", "b 0", "c 0", "d 0", "e 0", "f 0"]);
  expect(await held()).toBeLessThan(1_200);
});

test("a run of which many chunks are done lets a new run go first", async () => {
  const long = await backfill("long", 3_000);
  await world.pool.query("UPDATE usage_chunk SET state = 'done' WHERE run_id = $1 AND number < 500", [long]);
  await queues.dispatch(due);
  await backfill("short", 3);
  await queues.dispatch(due);
  expect(await nextJobs(4)).toEqual(["short 0", "short 1", "short 2", "long 500"]);
});

test("runs of high priority go before all others, those of low priority after; a run to plan before a chunk of its place", async () => {
  await backfill("normal", 2);
  await backfill("low", 2, -1);
  await backfill("high", 2, 1);
  const wish = { kind: "backfill", from: "2026-01-01", to: "2026-01-02", requestedBy: "test" } as const;
  for (const [as, priority] of [
    ["later", 0],
    ["sooner", 1],
  ] as const) {
    const { id } = await runs.create({ ...wish, tenants: [as], priority });
    names.set(id, as);
  }
  await queues.dispatch(due);
  expect(await nextJobs(10)).toEqual([
    "sooner plan",
    "high 0",
    "high 1",
    "later plan",
    "normal 0",
    "normal 1",
    "low 0",
    "low 1",
  ]);
});

test("due chunks are ordered by the priority of their runs, a refresh before a nightly run", async () => {
  const ids: string[] = [];
  for (const kind of ["nightly", "refresh"] as const) {
    const wish = { kind, from: "2026-01-01", to: "2026-01-02", requestedBy: "test", dedupeBy: kind };
    const days = chunksOf([{ tenant: "acme", from: wish.from, to: wish.to }], 1);
    ids.push((await runs.createRunning(wish, days)).id);
  }
  const [nightly, refresh] = ids;
  const { chunks } = await due.of("fresh", 3);
  expect(chunks.map(({ runId, number, urgency }) => [runId, number, urgency])).toEqual([
    [refresh, 0, 0],
    [refresh, 1, 0],
    [nightly, 0, 2],
  ]);
});

test("the priority of a chunk stays within what the queue takes, however many chunks a run has", async () => {
  const id = await backfill("huge", 2, -1);
  await world.pool.query("UPDATE usage_chunk SET number = 2000000000 WHERE run_id = $1 AND number = 1", [id]);
  await queues.dispatch(due);
  expect(await nextJobs(3)).toEqual(["huge 0", "huge 2000000000"]);
});
