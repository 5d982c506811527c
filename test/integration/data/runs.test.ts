import type { DueWork } from "../../../src/db/postgres/runs/due.ts";
import type { TenantSpan } from "../../../src/usage/tenant-day.ts";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Chunks } from "../../../src/db/postgres/runs/chunks.ts";
import type { RunRequest } from "../../../src/db/postgres/runs/request.ts";
import { MAX_PLAN_ATTEMPTS, type Runs } from "../../../src/db/postgres/runs/runs.ts";
import { Session } from "../../../src/db/postgres/session.ts";
import { planChunks } from "../../../src/usage/plan.ts";
import { chunksOf, claimChunk, expireLeases, plannedRun, workOff, keepLeases } from "../../support/claimed.ts";
import { until } from "../../support/until.ts";
import { useWorld } from "../../support/world.ts";

const world = useWorld("runs", { WORKER_CONCURRENCY: "6" });
let runs: Runs;
let due: DueWork;
let chunks: Chunks;
beforeAll(async () => {
  [runs, due] = [await world.services.runs(), await world.services.due()];
  chunks = await world.services.chunks();
});
beforeEach(() => world.reset());

const WISH: RunRequest = { kind: "backfill", from: "2026-03-01", to: "2026-03-04", requestedBy: "test" };
const SPANS: TenantSpan[] = [
  { tenant: "a", from: "2026-03-01", to: "2026-03-04" },
  { tenant: "b", from: "2026-03-02", to: "2026-03-03" },
];

const create = (wish: Partial<RunRequest> = {}) => runs.create({ ...WISH, ...wish });
const sql = async (text: string, values: unknown[] = []) =>
  (await world.pool.query<Record<string, unknown>>(text, values)).rows;
const plan = (size?: number) => plannedRun(world, SPANS, size);

describe("create", () => {
  test("ten identical requests at once make one run, and all get its id", async () => {
    const made = await Promise.all(Array.from({ length: 10 }, () => create()));
    expect(new Set(made.map(({ id }) => id)).size).toBe(1);
    expect(made.filter(({ created }) => created)).toHaveLength(1);
    expect(await sql("SELECT id FROM usage_run")).toEqual([{ id: made[0]?.id }]);
  });

  test("another range, kind, way or set of tenants is another run; the order and repetition of tenants is not", async () => {
    const wishes: Partial<RunRequest>[] = [
      {},
      { from: "2026-03-02" },
      { to: "2026-03-05" },
      { kind: "repair" },
      { inline: true },
    ];
    wishes.push({ tenants: [] }, { tenants: ["a"] }, { tenants: ["a", "b"] }, { tenants: ["ab"] });
    const made = [];
    for (const wish of wishes) made.push(await create(wish));
    expect(made.every(({ created }) => created)).toBe(true);
    expect(await create({ tenants: ["b", "a", "b"] })).toEqual({ id: made[7]?.id, created: false });
  });

  test("a backfill's key is taken while it is planned or running, and free when it has ended", async () => {
    for (const state of ["done", "failed", "cancelled"]) {
      const { id, created } = await create();
      expect(created).toBe(true);
      expect(await create()).toEqual({ id, created: false });
      await runs.plan(id, planChunks(SPANS));
      expect(await create()).toEqual({ id, created: false });
      await sql("UPDATE usage_run SET state = $1 WHERE id = $2", [state, id]);
    }
    expect((await create()).created).toBe(true);
  });

  test("a nightly occurrence has one run for ever, however that run ended", async () => {
    const nightly = { kind: "nightly", dedupeBy: "2026-03-05T02:15Z" } as const;
    const { id } = await create(nightly);
    for (const state of ["planned", "running", "done", "failed", "cancelled"]) {
      await sql("UPDATE usage_run SET state = $1", [state]);
      const again = await Promise.all(Array.from({ length: 5 }, () => create({ ...nightly, from: "2026-03-03" })));
      expect(again).toEqual(Array(5).fill({ id, created: false }));
    }
    expect((await create({ ...nightly, dedupeBy: "2026-03-06T02:15Z" })).created).toBe(true);
  });
});

describe("plan", () => {
  test("of five planners at once one inserts the chunks, and none does so later", async () => {
    const { id } = await create();
    const parts = chunksOf(SPANS, 4);
    const planned = await Promise.all(Array.from({ length: 5 }, () => runs.plan(id, parts)));
    expect(planned.filter(Boolean)).toHaveLength(1);
    expect(await runs.plan(id, parts)).toBe(false);
    expect(await sql("SELECT number, planned, payload, state FROM usage_chunk ORDER BY number")).toEqual(
      parts.map(({ spans, days }, number) => ({ number, planned: days, payload: spans, state: "pending" })),
    );
    const run = await runs.get(id);
    expect(run).toMatchObject({ state: "running", chunks: { planned: 2, done: 0 }, days: { planned: 6, written: 0 } });
    expect(run?.startedAt).not.toBeNull();
  });

  test("a run without a tenant-day is done as soon as it is finished", async () => {
    const { id } = await create();
    expect(await runs.finish(id)).toBeUndefined(); // nobody knows yet that there is nothing
    await runs.plan(id, []);
    expect(await runs.finish(id)).toBe("done");
  });

  test("a run that cannot be planned fails with the reason, a finished one does not fail later", async () => {
    const { id } = await create();
    for (let attempt = 1; attempt <= MAX_PLAN_ATTEMPTS; attempt++) await runs.planFailed(id, "no tenant");
    expect(await runs.get(id)).toMatchObject({ state: "failed", error: "no tenant" });
    expect(await runs.plan(id, planChunks(SPANS))).toBe(false);
    await runs.planFailed(id, "again");
    expect((await runs.get(id))?.error).toBe("no tenant");
  });
});

describe("finish", () => {
  test("the counts are live while a run goes on, stand when it has ended, and add up to what was planned", async () => {
    const id = await plan(2);
    const [first, second, third] = [
      await claimChunk(world, id, 0),
      await claimChunk(world, id, 1),
      await claimChunk(world, id, 2),
    ];
    await workOff(world, first, 2);
    await workOff(world, second, 1, 1);
    expect(await runs.get(id)).toMatchObject({
      state: "running",
      days: { planned: 6, written: 3, failed: 1 },
      sourceEvents: 3,
    });
    await chunks.done(first);
    await chunks.done(second);
    expect(await runs.finish(id)).toBeUndefined();
    expect(await due.unfinishedButDone()).toEqual([]);
    expect(await runs.get(id)).toMatchObject({ chunks: { planned: 3, done: 2, failed: 0 } });
    await chunks.fail(third, "broken");
    const live = await runs.get(id);
    expect(await due.unfinishedButDone()).toEqual([id]);

    const ends = await Promise.all(Array.from({ length: 5 }, () => runs.finish(id)));
    expect(ends.filter(Boolean)).toEqual(["failed"]);
    const run = await runs.get(id);
    expect(run).toMatchObject({ chunks: live?.chunks, days: live?.days, sourceEvents: 3, malformedEvents: 0 });
    expect(run?.chunks).toEqual({ planned: 3, done: 2, failed: 1 });
    expect(run?.days).toEqual({ planned: 6, written: 3, unchanged: 0, stale: 0, refused: 0, failed: 3 });
    expect(run?.finishedAt).not.toBeNull();
    expect(await due.unfinishedButDone()).toEqual([]);
  });

  test("one failed tenant-day fails a run whose chunks are all done", async () => {
    const id = await plan();
    const own = await claimChunk(world, id);
    await workOff(world, own, 5, 1);
    await chunks.done(own);
    expect(await runs.finish(id)).toBe("failed");
    expect(await runs.get(id)).toMatchObject({
      error: "0 chunks and 1 tenant-days failed",
      chunks: { done: 1, failed: 0 },
    });
  });
});

describe("due", () => {
  const numbers = async (queue: "bulk" | "fresh" = "bulk", limit = 100) =>
    (await due.of(queue, limit)).chunks.map(({ number }) => number);

  test("runs to plan and chunks that nobody works on are due, in order and in their own queue", async () => {
    const { id: planned } = await create();
    const { id: nightly } = await create({ kind: "nightly", dedupeBy: "night" });
    expect(await due.of("bulk", 10)).toEqual({ paused: false, runs: [{ id: planned, urgency: 2 }], chunks: [] });
    expect(await due.of("fresh", 10)).toEqual({ paused: false, runs: [{ id: nightly, urgency: 2 }], chunks: [] });

    const id = await plan(1);
    const own = await claimChunk(world, id, 1);
    await chunks.done(await claimChunk(world, id, 2));
    await sql("UPDATE usage_chunk SET not_before = clock_timestamp() + interval '1 hour' WHERE number = 3");
    await keepLeases(world);
    expect(await numbers()).toEqual([0, 4, 5]);
    expect(await numbers("bulk", 2)).toEqual([0, 4]);
    expect(await numbers("fresh")).toEqual([]);
    await expireLeases(world);
    expect(await numbers()).toEqual([0, 1, 4, 5]);
    expect(own.number).toBe(1);
    await sql("UPDATE usage_run SET state = 'cancelled'");
    expect(await due.of("bulk", 10)).toEqual({ paused: false, runs: [], chunks: [] });
  });

  test("an inline run is left alone while its process lives, planned or running, and given out when it died", async () => {
    const session = await Session.open(world.env["DATABASE_URL"] as string, 1);
    const [{ id: one }, { id: other }] = [
      await create({ inline: true }),
      await create({ inline: true, from: "2026-03-02" }),
    ];
    await session.lockRun(one);
    expect(await due.of("bulk", 10)).toEqual({ paused: false, runs: [{ id: other, urgency: 2 }], chunks: [] });
    await runs.plan(one, planChunks(SPANS));
    await runs.plan(other, planChunks(SPANS));
    expect(await due.of("bulk", 10)).toEqual({
      paused: false,
      runs: [],
      chunks: [{ runId: other, number: 0, kind: "rebuild", urgency: 2, lapsed: null }],
    });
    await session.close();
    await until("end of its locks", async () => (await due.of("bulk", 10)).chunks.length === 2);
    expect((await due.of("bulk", 10)).chunks).toEqual(
      [one, other].map((runId) => ({ runId, number: 0, kind: "rebuild", urgency: 2, lapsed: null })),
    );
  });

  test("the lock of one inline run is not taken for that of another, whatever their ids", async () => {
    const session = await Session.open(world.env["DATABASE_URL"] as string, 1);
    const ids: string[] = [];
    for (let day = 1; day <= 20; day++) ids.push((await create({ inline: true, tenants: [`t${day}`] })).id);
    const locked = ids.filter((_, n) => n % 2 === 0);
    for (const id of locked) await session.lockRun(id);
    expect((await due.of("bulk", 100)).runs.map(({ id }) => id)).toEqual(ids.filter((id) => !locked.includes(id)));
    await session.close();
  });
});
