import type { TenantSpan } from "../../../src/usage/tenant-day.ts";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Chunks, MAX_ATTEMPTS, MAX_CLAIMS, FIRST_PAUSE_SECONDS } from "../../../src/db/postgres/runs/chunks.ts";
import { Session } from "../../../src/db/postgres/session.ts";
import type { Runs } from "../../../src/db/postgres/runs/runs.ts";
import { stampAt } from "../../support/backends.ts";
import { claimChunk, expireLeases, plannedRun, workOff, keepLeases } from "../../support/claimed.ts";
import { LEASE_SECONDS, type Claim } from "../../../src/db/postgres/runs/claim.ts";
import { untilWorked } from "../../support/process.ts";
import { useWorld } from "../../support/world.ts";

const world = useWorld("claims", { WORKER_CONCURRENCY: "6" });
let runs: Runs;
let chunks: Chunks;
beforeAll(async () => {
  runs = await world.services.runs();
  chunks = await world.services.chunks();
});
beforeEach(() => world.reset());

const SPANS: TenantSpan[] = [
  { tenant: "a", from: "2026-03-01", to: "2026-03-04" },
  { tenant: "b", from: "2026-03-02", to: "2026-03-03" },
];

const sql = async (text: string) => (await world.pool.query<Record<string, unknown>>(text)).rows;
const plan = () => plannedRun(world, SPANS);
const chunk = async () => (await sql("SELECT state, claims, attempts, cursor, error FROM usage_chunk"))[0];

/** Is it so many seconds after a moment between then and now? */
async function isBetween(column: "lease_until" | "not_before", seconds: number, then: string): Promise<unknown> {
  const { rows } = await world.pool.query<{ between: boolean }>(
    `SELECT ${column} - make_interval(secs => $1) BETWEEN $2::timestamptz AND clock_timestamp() AS between FROM usage_chunk`,
    [seconds, then],
  );
  return rows[0]?.between;
}

describe("claim", () => {
  test("of ten processes one claims a chunk, and nobody else while its lease runs", async () => {
    const id = await plan();
    const before = await stampAt(world.pool);
    const claims = await Promise.all(Array.from({ length: 10 }, () => chunks.claim(id, 0)));
    expect(claims.filter(Boolean)).toHaveLength(1);
    expect(await isBetween("lease_until", LEASE_SECONDS, before)).toBe(true);
    await keepLeases(world);
    expect(await chunks.claim(id, 0)).toBeUndefined();
    expect(await chunks.claimable(id)).toEqual([]);
  });

  test("a chunk whose claimant died is resumed at its cursor", async () => {
    const id = await plan();
    const dead = await claimChunk(world, id);
    await workOff(world, dead, 2);
    await expireLeases(world);
    expect(await chunks.claimable(id)).toEqual([0]);
    const heir = await claimChunk(world, id);
    const what = { kind: "backfill", spans: SPANS, cursor: 2, allowShrink: false, undoes: null };
    expect(heir).toEqual({ runId: id, number: 0, id: heir.id, ...what });
    expect(heir.id).not.toBe(dead.id);
  });

  test("a chunk is free as soon as the session of its claimant's locks ends, however long its lease runs", async () => {
    const id = await plan();
    const session = await Session.open(world.env["DATABASE_URL"] as string, 1);
    const others = new Chunks(world.pool, world.services.settings.hash, "other", session.id);
    const claim = await others.claim(id, 0);
    expect(claim).toBeDefined();
    await keepLeases(world);
    expect(await chunks.claimable(id)).toEqual([]);
    expect(await (await world.services.due()).of("bulk", 10)).toMatchObject({ chunks: [] });
    expect(await chunks.claim(id, 0)).toBeUndefined();
    await session.close();
    expect(
      await untilWorked("the chunk is free", () =>
        chunks.claimable(id).then(([first]) => first !== undefined && [first]),
      ),
    ).toEqual([0]);
    // The queue still holds the job of the claimant, so that of the heir has an id of its own.
    expect((await (await world.services.due()).of("bulk", 10)).chunks).toMatchObject([
      { number: 0, lapsed: claim?.id },
    ]);
    expect((await claimChunk(world, id)).id).not.toBe(claim?.id);
    await keepLeases(world);
    expect(await chunks.claimable(id)).toEqual([]);
    expect(await others.renew(claim as Claim)).toBe(false);
  });

  test("a claim of an earlier version, which names no session, lasts as long as its lease", async () => {
    const id = await plan();
    await claimChunk(world, id);
    await keepLeases(world);
    await sql("UPDATE usage_chunk SET claimed_session = NULL");
    expect(await chunks.claimable(id)).toEqual([]);
    await expireLeases(world);
    expect(await chunks.claimable(id)).toEqual([0]);
  });

  test("a lost server costs no attempt, however often; the chunk waits and says why", async () => {
    const id = await plan();
    for (let n = 0; n <= MAX_ATTEMPTS; n++) {
      await chunks.waitForServer(await claimChunk(world, id), "MongoDB is away");
      expect(await chunks.claimable(id)).toEqual([]);
      await sql("UPDATE usage_chunk SET not_before = '-infinity'");
    }
    expect(await chunk()).toMatchObject({ state: "pending", attempts: 0, error: "MongoDB is away" });
    await workOff(world, await claimChunk(world, id), 6);
    expect(await chunk()).toMatchObject({ claims: 0 });
  });

  test("other settings, a pause that is not over and a run that is not running keep a chunk from being claimed", async () => {
    const id = await plan();
    const otherSettings = new Chunks(world.pool, "other settings", "test", 1);
    expect(await otherSettings.claim(id, 0)).toBeUndefined();
    await sql("UPDATE usage_chunk SET not_before = clock_timestamp() + interval '1 hour'");
    expect(await chunks.claim(id, 0)).toBeUndefined();
    expect(await chunks.claimable(id)).toEqual([]);
    await sql("UPDATE usage_chunk SET not_before = clock_timestamp()");
    await sql("UPDATE usage_run SET state = 'cancelled'");
    expect(await chunks.claim(id, 0)).toBeUndefined();
    await sql("UPDATE usage_run SET state = 'running'");
    expect(await chunks.claim(id, 7)).toBeUndefined();
    expect(await chunks.claim(id, 0)).toBeDefined();
  });

  test("the eleventh claim without progress fails the chunk: the days left count as failed and are dirty", async () => {
    const id = await plan();
    await workOff(world, await claimChunk(world, id), 1, 1);
    expect((await chunk())?.["claims"]).toBe(0);
    for (let n = 0; n < MAX_CLAIMS; n++) {
      await expireLeases(world);
      expect((await claimChunk(world, id)).cursor).toBe(2);
    }
    await expireLeases(world);
    expect(await chunks.claim(id, 0)).toBeUndefined();
    expect(await chunk()).toMatchObject({ state: "failed", error: "claimed 10 times without progress" });
    expect(await runs.finish(id)).toBe("failed");
    expect(await runs.get(id)).toMatchObject({
      state: "failed",
      error: "1 chunks and 5 tenant-days failed",
      chunks: { planned: 1, done: 0, failed: 1 },
      days: { planned: 6, written: 1, unchanged: 0, stale: 0, refused: 0, failed: 5 },
    });
    expect(await sql("SELECT tenant_id || date AS day FROM usage_dirty ORDER BY 1")).toEqual(
      ["a2026-03-02", "a2026-03-03", "a2026-03-04", "b2026-03-02", "b2026-03-03"].map((day) => ({ day })),
    );
    expect(await runs.problems(id)).toMatchObject([
      { number: 0, state: "failed", failedDays: [{ tenant: "a", date: "2026-03-02", error: "bad" }] },
    ]);
  });

  test("progress sets the count of claims back to none", async () => {
    const id = await plan();
    for (let day = 0; day < 6; day++) {
      for (let n = 1; n < MAX_CLAIMS; n++) {
        await claimChunk(world, id);
        await expireLeases(world);
      }
      const own = await claimChunk(world, id);
      await workOff(world, own, 1);
      await expireLeases(world);
    }
    await chunks.done(await claimChunk(world, id));
    expect(await runs.finish(id)).toBe("done");
  });
});

describe("the end of a claim", () => {
  test("the fifth error fails a chunk; until then each pause is twice the last", async () => {
    const id = await plan();
    for (let attempt = 1; attempt < MAX_ATTEMPTS; attempt++) {
      const before = await stampAt(world.pool);
      await chunks.retryLater(await claimChunk(world, id), `error ${attempt}`);
      expect(await chunk()).toMatchObject({ state: "pending", attempts: attempt, error: `error ${attempt}` });
      expect(await isBetween("not_before", FIRST_PAUSE_SECONDS * 2 ** (attempt - 1), before)).toBe(true);
      expect(await runs.finish(id)).toBeUndefined();
      await sql("UPDATE usage_chunk SET not_before = '-infinity'");
    }
    expect(FIRST_PAUSE_SECONDS).toBeGreaterThan(0);
    await chunks.retryLater(await claimChunk(world, id), "the last");
    expect(await chunk()).toMatchObject({ state: "failed", attempts: MAX_ATTEMPTS, error: "the last" });
    expect((await sql("SELECT FROM usage_dirty")).length).toBe(6);
    expect(await runs.finish(id)).toBe("failed");
  });

  test("a chunk handed back costs neither an attempt nor a claim, and goes on at its cursor", async () => {
    const id = await plan();
    await workOff(world, await claimChunk(world, id), 1);
    await expireLeases(world);
    for (let n = 0; n < 2 * MAX_CLAIMS; n++) await chunks.handBack(await claimChunk(world, id));
    expect(await chunk()).toEqual({ state: "pending", claims: 0, attempts: 0, cursor: 1, error: null });
    expect((await claimChunk(world, id)).cursor).toBe(1);
  });

  test("a successful retry clears the chunk's error", async () => {
    const id = await plan();
    await chunks.retryLater(await claimChunk(world, id), "once");
    await sql("UPDATE usage_chunk SET not_before = '-infinity'");
    const own = await claimChunk(world, id);
    await workOff(world, own, 6);
    await chunks.done(own);
    expect(await runs.problems(id)).toEqual([]);
  });
});
