import { randomUUID } from "node:crypto";
import pg from "pg";
import { describe, expect, test, vi } from "vitest";
import {
  countWorkers,
  PERMIT_CLASS,
  PROCESS_CLASS,
  Session,
  type QueueName,
} from "../../../src/db/postgres/session.ts";
import { until } from "../../support/until.ts";
import { openedForEach } from "../../support/opened.ts";
import { useWorld, useWorldForEach, type World } from "../../support/world.ts";
import { SteppedClock } from "../fencing/stepped-clock.ts";

const world = useWorld("permits");

const never = () => new AbortController().signal;

/** So many sessions, as if each were a process; closed at the end whatever happens. */
async function withSessions<T>(
  count: number,
  permits: number,
  work: (...sessions: Session[]) => Promise<T>,
  { env }: World = world,
): Promise<T> {
  const url = env["DATABASE_URL"] as string;
  const sessions = await Promise.all(Array.from({ length: count }, () => Session.open(url, permits)));
  try {
    return await work(...sessions);
  } finally {
    await Promise.all(sessions.map((session) => session.close()));
  }
}

/** The process ids of the backends that hold another lock now. */
async function holders(): Promise<number[]> {
  const { rows } = await world.pool.query<{ pid: number }>(
    `SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid <> ${PROCESS_CLASS}
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
  );
  return rows.map(({ pid }) => pid);
}

/** Does it stay open while the waiting process tries some times to get the permit of another? */
async function staysPending(
  work: Promise<unknown> | undefined,
  { pool }: World = world,
  most = 6, // two sessions at most, and one try of each may lie before
): Promise<boolean> {
  let settled = false;
  const settle = () => (settled = true);
  work?.then(settle, settle);
  const tries = new Set<string>();
  await until("tries for a permit", async () => {
    const { rows } = await pool.query<{ at: string }>(
      `SELECT query_start::text AS at FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'tallyman' AND query LIKE '%pg_try_advisory_lock($1, $2)%'`,
    );
    for (const { at } of rows) tries.add(at);
    return settled || tries.size > most;
  });
  return !settled;
}

test("two processes together never hold more than the permits there are, and every wait ends", async () => {
  await withSessions(2, 2, async (...sessions) => {
    // Both can be held at the same time.
    const both = await Promise.all(sessions.map((session) => session.takePermit("fresh", never())));
    expect(new Set(both)).toEqual(new Set([1, 2]));
    await Promise.all(sessions.map((session, n) => session.releasePermit(both[n] ?? 0)));

    let held = 0;
    let most = 0;
    const permits = new Set<number>();
    const work = async (session: Session | undefined, queue: QueueName) => {
      const permit = await session?.takePermit(queue, never());
      held += 1;
      most = Math.max(most, held);
      permits.add(permit ?? 0);
      expect(queue === "bulk" ? [2] : [1, 2]).toContain(permit);
      expect((await holders()).length).toBeLessThanOrEqual(2);
      held -= 1;
      await session?.releasePermit(permit ?? 0);
    };
    await Promise.all(Array.from({ length: 24 }, (_, n) => work(sessions[n % 2], n % 3 ? "fresh" : "bulk")));
    expect(most).toBeLessThanOrEqual(2);
    expect(permits).toEqual(new Set([1, 2]));
    expect(await holders()).toEqual([]);
  });
});

test("bulk work leaves permit 1 to fresh work, in its own process and in others", async () => {
  await withSessions(2, 3, async (one, two) => {
    expect([await one?.takePermit("bulk", never()), await two?.takePermit("bulk", never())].sort()).toEqual([2, 3]);
    const waiting = one?.takePermit("bulk", never());
    expect(await staysPending(waiting)).toBe(true);
    expect(await two?.takePermit("fresh", never())).toBe(1);
    expect(await staysPending(waiting)).toBe(true);
    await two?.releasePermit(1);
    expect(await staysPending(waiting)).toBe(true);
    await one?.releasePermit(2);
    await two?.releasePermit(3);
    expect([2, 3]).toContain(await waiting);
  });
});

test("the only permit there is serves both queues", async () => {
  await withSessions(2, 1, async (one, two) => {
    expect(await one?.takePermit("bulk", never())).toBe(1);
    const waiting = two?.takePermit("fresh", never());
    expect(await staysPending(waiting)).toBe(true);
    await one?.releasePermit(1);
    expect(await waiting).toBe(1);
    const same = two?.takePermit("bulk", never()); // its own lock is no free permit to a session
    await two?.releasePermit(1);
    expect(await same).toBe(1);
  });
});

test("a wait ends with the reason of its signal and takes no permit along", async () => {
  await withSessions(2, 1, async (one, two) => {
    await one?.takePermit("fresh", never());
    const abort = new AbortController();
    const waiting = two?.takePermit("fresh", abort.signal);
    expect(await staysPending(waiting)).toBe(true);
    abort.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
    await expect(one?.takePermit("fresh", AbortSignal.abort(new Error("at once")))).rejects.toThrow("at once");
    await one?.releasePermit(1);
    expect(await two?.takePermit("fresh", never())).toBe(1);
  });
});

test("the death of a process's connection frees its permits at once and aborts its reads and waits", async () => {
  await withSessions(2, 2, async (dying, other) => {
    await dying?.takePermit("fresh", never());
    await dying?.takePermit("fresh", never());
    const [pid] = await holders();
    const held = other?.takePermit("bulk", never());
    expect(await staysPending(held)).toBe(true);
    expect(dying?.lost.aborted).toBe(false);
    const waiting = dying?.takePermit("bulk", never());
    waiting.catch(() => undefined);

    await world.pool.query("SELECT pg_terminate_backend($1)", [pid]);
    await until("abort of what was lost", () => dying?.lost.aborted);
    expect((dying?.lost.reason as Error).message).toMatch(/locks was lost/);
    await expect(waiting).rejects.toThrow();
    expect(await held).toBe(2);
    expect(await other?.takePermit("fresh", never())).toBe(1);

    // What the dead one gives back is not another's.
    await dying?.releasePermit(1);
    await dying?.releasePermit(2);
    await expect(dying?.takePermit("fresh", never())).rejects.toThrow(/locks was lost/);
    expect(await holders()).toHaveLength(2);
    expect(other?.lost.aborted).toBe(false);
  });
});

test("the lock of a run has one holder, until it is let go or dies", async () => {
  await withSessions(2, 2, async (one, two) => {
    const [a, b] = ["0190a5d2-7c1e-7def-8123-456789abcdef", "0190a5d2-7c1e-7def-8123-456789abcdee"];
    await one?.lockRun(a);
    await expect(two?.lockRun(a)).rejects.toMatchObject({ name: "LockedError", exitCode: 3 });
    await two?.lockRun(b);
    await one?.unlockRun(a);
    await two?.lockRun(a);
    await expect(one?.lockRun(a)).rejects.toThrow(/another process/);
    await two?.close();
    await until("the locks of a closed session", async () => (await holders()).length === 0);
    await one?.lockRun(a);
  });
});

test("a worker is counted for as long as its process holds its connection, whatever other locks there are", async () => {
  const count = () => countWorkers(world.pool);
  await withSessions(1, 4, async (command) => {
    await command.takePermit("bulk", never());
    await command.lockRun(randomUUID());
    expect(await count()).toBe(0);
    await withSessions(2, 4, async (worker, other) => {
      await worker?.announceWorker();
      await other?.announceWorker();
      expect(await count()).toBe(2);
      await other?.close();
      await until("end of one", async () => (await count()) === 1);
    });
  });
  await until("end of both", async () => (await count()) === 0);
});

describe("a permit whose holder says nothing", () => {
  const ownWorld = useWorldForEach("frozen_permits");
  const clock = openedForEach(() => SteppedClock.create(ownWorld.env["DATABASE_URL"]));
  /** Holds permit 1 and never says a word, as a connection whose process in PostgreSQL is frozen. */
  const silent = openedForEach(async () => {
    const client = new pg.Client(ownWorld.env["DATABASE_URL"]);
    await client.connect();
    return { client, close: () => client.end() };
  });

  test("has one stand-in, which is given back like any other, for as long as it is silent", async () => {
    await silent.client.query("SELECT pg_advisory_lock($1, 1)", [PERMIT_CLASS]);
    await withSessions(
      2,
      1,
      async (one, two) => {
        const waiting = one?.takePermit("fresh", never());
        expect(await staysPending(waiting, ownWorld)).toBe(true);
        await clock.ahead("1 minute");
        const standIn = (await waiting) ?? 0;
        expect(standIn).toBeGreaterThan(1);
        // The next one is not waited for: the holder is known to be frozen.
        await one?.releasePermit(standIn);
        const sent = vi.spyOn(pg.Client.prototype, "query");
        expect(await one?.takePermit("fresh", never())).toBe(standIn);
        const tries = sent.mock.calls.filter(([sql]) => String(sql).includes("pg_try_advisory_lock"));
        sent.mockRestore();
        expect(tries).toHaveLength(2);
        // Neither of the two is free, and nobody is frozen: both see that, he who knew it otherwise and he who looks now.
        await clock.ahead("0 s");
        await one?.releasePermit(standIn);
        const next = [one, two].map((session) => session?.takePermit("fresh", never()));
        expect(await staysPending(Promise.race(next), ownWorld, 45)).toBe(true);
        await silent.client.query("SELECT pg_advisory_unlock($1, 1)", [PERMIT_CLASS]);
        expect(await Promise.race(next)).toBe(1);
      },
      ownWorld,
    );
  });

  test("has none while it lives, however far the clock of PostgreSQL steps ahead", async () => {
    await withSessions(
      2,
      1,
      async (one, two) => {
        expect(await one?.takePermit("fresh", never())).toBe(1);
        await clock.ahead("1 hour");
        const waiting = two?.takePermit("fresh", never());
        // Far longer than a look and the beats of a session take.
        expect(await staysPending(waiting, ownWorld, 60)).toBe(true);
        await one?.releasePermit(1);
        expect(await waiting).toBe(1);
      },
      ownWorld,
    );
  });
});
