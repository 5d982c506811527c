import { hostname } from "node:os";
import type { Job } from "bullmq";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { BulkQueue } from "../../support/bulk-queue.ts";
import { keepLeases } from "../../support/claimed.ts";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { endProcesses, run, startWorker, untilWorked } from "../../support/process.ts";
import { HeldDay } from "../../support/held-day.ts";
import { openedForEach } from "../../support/opened.ts";
import { PermitGate } from "../../support/permit-gate.ts";
import { useWorldForEach } from "../../support/world.ts";

/** 256 tenant-days: two chunks */
const RANGE = { from: "2025-03-01", to: "2025-11-11" };
const FIRST_CHUNK_ENDS = "2025-07-06";

const world = useWorldForEach("worker", { MONGODB_CONCURRENCY: "1", WORKER_CONCURRENCY: "1" });
const gate = openedForEach(() => PermitGate.create(world.env["DATABASE_URL"]));
const queue = openedForEach(() => new BulkQueue(world));

beforeEach(async () => {
  await world.insert(daysOfEvents("acme", RANGE.from, 256));
});
afterEach(endProcesses); // before the gate is let go

interface ChunkRow {
  number: number;
  state: string;
  attempts: number;
  claims: number;
  cursor: number;
  claimed_by: string | null;
}

async function chunks(): Promise<ChunkRow[]> {
  const { rows } = await world.pool.query<ChunkRow>(
    "SELECT number, state, attempts, claims, cursor, claimed_by FROM usage_chunk ORDER BY number",
  );
  return rows;
}

const running = async (): Promise<ChunkRow | undefined> => (await chunks()).find(({ state }) => state === "running");

async function backfill(): Promise<string> {
  const asked = await run(world.env, "backfill", "--from", RANGE.from, "--to", RANGE.to, "--json");
  expect(asked.code).toBe(0);
  return (JSON.parse(asked.stdout) as { run: { id: string } }).run.id;
}

/** Waits for the end of the run, and checks that its counts add up and the table is whole. */
async function expectWhole(runId: string): Promise<void> {
  const runs = await world.services.runs();
  const ended = await untilWorked("end of the run", async () => {
    const now = await runs.get(runId);
    return now?.finishedAt !== null && now;
  });
  expect(ended).toMatchObject({ state: "done", error: null, sourceEvents: 256 });
  expect(ended.chunks).toEqual({ planned: 2, done: 2, failed: 0 });
  const { planned, written, unchanged, stale, refused, failed } = ended.days;
  expect({ planned, ended: written + unchanged + stale + refused + failed, failed }).toEqual({
    planned: 256,
    ended: 256,
    failed: 0,
  });
  const { rows } = await world.pool.query(
    "SELECT count(*)::int AS days, sum(revision)::int AS n FROM daily_usage_cache",
  );
  expect(rows).toEqual([{ days: 256, n: 256 }]);
}

/** Deletes every key of this world, as FLUSHALL would, on a server that others share. */
async function wipeRedis(): Promise<number> {
  const { redis } = queue;
  let deleted = 0;
  for await (const keys of redis.scanStream({ match: `${world.config.queuePrefix}:*`, count: 1_000 })) {
    if ((keys as string[]).length > 0) deleted += await redis.del(...(keys as string[]));
  }
  return deleted;
}

describe("a worker that is told to stop", () => {
  test("hands its chunk back without an attempt spent, and another one finishes the run", async () => {
    await gate.shut();
    const first = await startWorker({ ...world.env, LOG_LEVEL: "info" });
    const runId = await backfill();
    await untilWorked("chunk in hand", running);
    first.signal("SIGTERM");
    const stopped = await first.ended; // though there is no permit for its read: the gate is shut still
    expect(stopped.code).toBe(0);
    const said = stopped.stderr.split("\n").flatMap((line) => /"msg":"([^"]*)"/.exec(line)?.[1] ?? []);
    expect(said).toContain("job handed back");
    expect(said.at(-1)).toBe("worker stopped"); // rather than "worker did not stop in time"
    expect(await chunks()).toEqual(
      Array.from({ length: 2 }, () => expect.objectContaining({ state: "pending", attempts: 0, claims: 0 }) as unknown),
    );

    await gate.open();
    await startWorker(world.env);
    await expectWhole(runId);
    expect((await chunks()).every(({ attempts }) => attempts === 0)).toBe(true);
  });
});

describe("a worker that is killed", () => {
  test("loses nothing: another one takes its chunk over at once, however long the lease lasts", async () => {
    await gate.shut();
    const first = await startWorker(world.env);
    const runId = await backfill();
    await untilWorked("chunk in hand", running);
    // The first chunk is read to its end and not done before the gate is shut again: so the next one is not begun.
    const last = await HeldDay.hold(world.env["DATABASE_URL"], "acme", FIRST_CHUNK_ENDS);
    await gate.open();
    await last.awaited();
    await gate.shut();
    await last.letGo();
    const held = await untilWorked("next chunk in hand", async () => {
      const chunk = await running();
      return chunk?.number === 1 && chunk;
    });
    expect((await chunks())[0]?.state).toBe("done");
    expect(held.claimed_by).toBe(`${hostname()}:${first.pid}`);
    first.signal("SIGKILL");
    expect((await first.ended).code).toBeNull();

    // Its lease would last, and the queue takes its job to be worked on: only its end tells that the chunk is free.
    await keepLeases(world);
    await gate.open();
    const second = await startWorker(world.env);
    await expectWhole(runId);
    const after = (await chunks())[held.number];
    expect(after).toMatchObject({ state: "done", attempts: 0, claimed_by: `${hostname()}:${second.pid}` });
  });
});

describe("Redis that forgets", () => {
  test("is filled again by the reconciler: a run in work, and one that nobody enqueued", async () => {
    await gate.shut();
    await startWorker(world.env);
    const runId = await backfill();
    await untilWorked("chunk in hand", running);
    expect(await wipeRedis()).toBeGreaterThan(0);
    // The chunk in hand brings back the rest at its end; a run that no job speaks of is found by the reconciler alone.
    const runs = await world.services.runs();
    const forgotten = {
      id: runId.replace(/.{4}$/, "0000"),
      kind: "backfill",
      requestedBy: "test",
      dedupeBy: "forgotten",
      ...RANGE,
    } as const;
    await gate.open();
    await expectWhole(runId);
    expect(await runs.create(forgotten)).toEqual({ id: forgotten.id, created: true });
    await untilWorked("end of the forgotten run", async () => (await runs.get(forgotten.id))?.state === "done");
    expect((await runs.get(forgotten.id))?.days).toMatchObject({ planned: 256, written: 0, unchanged: 256 });
  });

  test("is filled again when it lost every job of a run that nobody works on yet", async () => {
    const runId = await backfill();
    expect(await wipeRedis()).toBeGreaterThan(0);
    await startWorker(world.env);
    await expectWhole(runId);
  });
});

describe("jobs that somebody pushed into Redis", () => {
  /** Three tries, and kept when they fail: what the queue's own jobs never are. */
  const KEPT = { attempts: 3, removeOnComplete: false, removeOnFail: false };

  const failure = async (job: Job): Promise<Job> =>
    untilWorked("failure of the job", async () => {
      return (await queue.getJobState(job.id as string)) === "failed" && queue.getJob(job.id as string);
    });

  test("fail once where the payload is bad, go back where it is newer, and never harm the worker", async () => {
    const worker = await startWorker({ ...world.env, LOG_LEVEL: "error" });
    const runId = "0190a5d2-7c1e-7def-8123-456789abcdef";
    const bad: unknown[] = [
      { v: 1, runId: "no id", chunk: 0 },
      { v: 1, runId, chunk: -1 },
      { v: 1, runId, chunk: 0, extra: true },
      { v: 0, runId, chunk: 0 },
      { v: "2", runId, chunk: 0 },
      { runId, chunk: 0 },
      [],
      "text",
      null,
    ];
    for (const payload of bad) {
      const failed = await failure(await queue.add("aggregate-days", payload, KEPT));
      expect(failed.failedReason, JSON.stringify(payload)).toMatch(/^payload refused: /);
      expect(failed.attemptsMade, JSON.stringify(payload)).toBe(1);
    }
    const unknown = await failure(await queue.add("frobnicate", { v: 1 }, KEPT));
    expect(unknown.failedReason).toBe("unknown job frobnicate");
    expect(unknown.attemptsMade).toBe(3); // a newer worker might have known it

    const newer = await queue.add("aggregate-days", { v: 2, somethingNew: true }, KEPT);
    const back = await untilWorked("job handed back", async () => {
      return (await queue.getJobState(newer.id as string)) === "delayed" && queue.getJob(newer.id as string);
    });
    expect(back.attemptsMade).toBe(0);

    // The worker's own schedule may have run, and nothing else.
    const { rows } = await world.pool.query("SELECT kind FROM usage_run WHERE kind NOT IN ('nightly', 'refresh')");
    expect(rows).toEqual([]);
    const health = await fetch(`${worker.address}/livez`);
    expect([health.status, await health.json()]).toEqual([200, { alive: true, stuck: [] }]);

    // a chunk that is not there is no error, and the worker still works
    await queue.add("aggregate-days", { v: 1, runId, chunk: 0 }, { ...KEPT, jobId: "absent" });
    await untilWorked("end of the job", async () => (await queue.getJob("absent"))?.isCompleted());
    // so is one under a name of earlier versions
    await queue.add("rebuild-range", { v: 1, runId }, { ...KEPT, jobId: "former" });
    await untilWorked("end of the job", async () => (await queue.getJob("former"))?.isCompleted());
    await expectWhole(await backfill());
    worker.signal("SIGTERM");
    expect((await worker.ended).code).toBe(0);
    expect(worker.stderr().match(/payload refused/g)).toHaveLength(bad.length); // once each
  });
});
