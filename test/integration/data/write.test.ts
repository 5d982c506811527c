import type pg from "pg";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { touchRows, upsertRows } from "../../../src/db/postgres/cache/rows.ts";
import type { Chunks } from "../../../src/db/postgres/runs/chunks.ts";
import { ClaimLostError, type Claim } from "../../../src/db/postgres/runs/claim.ts";
import { lockWaiters, stampAt } from "../../support/backends.ts";
import { cacheRow } from "../../support/cache-row.ts";
import { store, claimed } from "../../support/claimed.ts";
import { storedRows } from "../../support/stored-rows.ts";
import { useWorld } from "../../support/world.ts";

const DAY = "2026-03-01";

const world = useWorld("write", { WORKER_CONCURRENCY: "6" });
let chunks: Chunks;
beforeAll(async () => {
  chunks = await world.services.chunks();
});
beforeEach(() => world.reset());

const spans = (days: number, tenant = "acme") => [
  { tenant, from: DAY, to: `2026-03-${String(days).padStart(2, "0")}` },
];
const claim = (days = 1) => claimed(world, spans(days));
const stamp = (shift?: string) => stampAt(world.pool, shift);

/** Stores one day of one token count as a run of its own would. */
async function write(tokens: number, readAt: string) {
  return store(world, await claim(), [cacheRow("acme", DAY, tokens, readAt)], [], 1);
}

async function stored() {
  return [...(await storedRows(world.pool)).values()].map(({ total_tokens, revision }) => ({ total_tokens, revision }));
}

async function readAt(): Promise<string> {
  const { rows } = await world.pool.query<{ at: string }>(
    `SELECT to_char(read_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at FROM daily_usage_cache`,
  );
  return rows[0]?.at as string;
}

async function changes() {
  const { rows } = await world.pool.query<Record<"revision" | "old" | "new", unknown>>(
    `SELECT revision, old_requests || ' ' || old_tokens || ' ' || old_cost AS old,
            new_requests || ' ' || new_tokens || ' ' || new_cost AS new FROM usage_change ORDER BY id`,
  );
  return rows;
}

/** A transaction of the test's own, in the way of others. */
async function inTheWay<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await world.pool.connect();
  try {
    await client.query("BEGIN");
    await client.query("SET LOCAL deadlock_timeout = '1h'"); // of a deadlock the other one is the victim
    return await work(client);
  } finally {
    await client.query("ROLLBACK");
    client.release();
  }
}

const lockRow = "SELECT 1 FROM daily_usage_cache WHERE tenant_id = 'acme' AND date = $1 FOR UPDATE";
const one = { written: 1, unchanged: 0, stale: 0, refused: 0, failed: 0 };
const stale = { ...one, written: 0, stale: 1 };
const unchanged = { ...one, written: 0, unchanged: 1 };

describe("the read stamp", () => {
  test("an older read never overwrites, nor does it move the stamp back", async () => {
    const [older, newer] = [await stamp("-1 microsecond"), await stamp()];
    expect(await write(2, newer)).toEqual(one);
    expect(await write(1, older)).toEqual(stale);
    expect(await write(2, older)).toEqual(stale);
    expect(await stored()).toEqual([{ total_tokens: "2", revision: "1" }]);
    expect(await readAt()).toBe(newer);
    expect(await changes()).toHaveLength(1);
  });

  test("an equal or newer read replaces other content, and moves the stamp of equal content alone", async () => {
    const [first, second] = [await stamp(), await stamp("1 microsecond")];
    await write(1, first);
    expect(await write(2, first)).toEqual(one);
    const [before] = (await storedRows(world.pool)).values();
    expect(await write(2, second)).toEqual(unchanged);
    const [after] = (await storedRows(world.pool)).values();
    expect(await readAt()).toBe(second);
    expect({ ...after, read_at: "", ctid: "" }).toEqual({ ...before, read_at: "", ctid: "" });
  });

  test("a slow old read that comes after a newer one's commit finds itself stale", async () => {
    await write(1, await stamp("-1 hour"));
    const [older, newer] = [await stamp("-1 minute"), await stamp()];
    const slow = await inTheWay(async (client) => {
      await client.query(lockRow, [DAY]);
      const waiting = write(2, older);
      await lockWaiters(world.pool, 1);
      await upsertRows(client, [cacheRow("acme", DAY, 3, newer)]);
      await client.query("COMMIT");
      return waiting;
    });
    expect(slow).toEqual(stale);
    expect(await stored()).toEqual([{ total_tokens: "3", revision: "2" }]);
  });

  test("an older read that saw no row when it began finds itself stale after a newer one's commit", async () => {
    const [older, newer] = [await stamp("-1 minute"), await stamp()];
    const slow = await inTheWay(async (client) => {
      await upsertRows(client, [cacheRow("acme", DAY, 3, newer)]);
      const waiting = write(2, older);
      await lockWaiters(world.pool, 1);
      await client.query("COMMIT");
      return waiting;
    });
    expect(slow).toEqual(stale);
    expect(await stored()).toEqual([{ total_tokens: "3", revision: "1" }]);
    expect(await changes()).toEqual([]);
  });

  test("the statements themselves refuse an older read", async () => {
    const [older, newer] = [await stamp("-1 minute"), await stamp()];
    await write(1, newer);
    expect(await upsertRows(world.pool, [cacheRow("acme", DAY, 2, older)])).toEqual(new Map());
    expect(await touchRows(world.pool, [cacheRow("acme", DAY, 1, older)])).toBe(0);
    expect(await touchRows(world.pool, [cacheRow("acme", DAY, 2, newer)])).toBe(0); // other content than it says
    expect(await stored()).toEqual([{ total_tokens: "1", revision: "1" }]);
    expect(await readAt()).toBe(newer);
  });

  test("a newer read that waited for another's commit records what that one wrote", async () => {
    await write(1, await stamp("-1 hour"));
    const [older, newer] = [await stamp("-1 minute"), await stamp()];
    await inTheWay(async (client) => {
      await upsertRows(client, [cacheRow("acme", DAY, 2, older)]);
      const waiting = write(3, newer);
      await lockWaiters(world.pool, 1);
      await client.query("COMMIT");
      expect(await waiting).toEqual(one);
    });
    expect((await changes()).at(-1)).toEqual({ revision: 3, old: "1 2 0.002", new: "1 3 0.003" });
  });

  test("a newer read that saw no row when it began records what it replaced", async () => {
    const [older, newer] = [await stamp("-1 minute"), await stamp()];
    const late = await inTheWay(async (client) => {
      await upsertRows(client, [cacheRow("acme", DAY, 2, older)]);
      const waiting = write(3, newer);
      await lockWaiters(world.pool, 1);
      await client.query("COMMIT");
      return waiting;
    });
    expect(late).toEqual(one);
    expect(await changes()).toEqual([{ revision: 2, old: "1 2 0.002", new: "1 3 0.003" }]);
  });
});

test("two writers of the same new rows at once lose neither a row, a count nor a change", async () => {
  for (let round = 0; round < 8; round++) {
    await world.empty("daily_usage_cache", "usage_change");
    const days = Array.from({ length: 20 }, (_, n) => `2026-03-${String(n + 1).padStart(2, "0")}`);
    const [older, newer] = [await stamp("-1 minute"), await stamp()];
    const claims = await Promise.all([claim(20), claim(20)]);
    const batches = [
      days.map((day) => cacheRow("acme", day, 1, older)),
      days.map((day) => cacheRow("acme", day, 2, newer)).reverse(),
    ];
    if (round % 2) batches.reverse();
    const counts = await Promise.all(claims.map((own, n) => store(world, own, batches[n] ?? [], [], 20)));

    const rows = await stored();
    expect(rows).toHaveLength(20);
    expect(new Set(rows.map(({ total_tokens }) => total_tokens))).toEqual(new Set(["2"]));
    for (const { written, unchanged, stale } of counts) expect(written + unchanged + stale).toBe(20);
    const written = counts.reduce((sum, count) => sum + count.written, 0);
    expect(rows.reduce((sum, { revision }) => sum + Number(revision), 0)).toBe(written);
    expect(await changes()).toHaveLength(written);
    const progress = await world.pool.query(
      "SELECT cursor, written + unchanged + stale AS days FROM usage_chunk WHERE run_id = ANY ($1)",
      [claims.map(({ runId }) => runId)],
    );
    expect(progress.rows).toEqual(Array(2).fill({ cursor: 20, days: 20 }));
  }
});

describe("locks", () => {
  const [first, last] = [DAY, "2026-03-09"];
  const backwards = (tokens: number, readAt: string) => [
    cacheRow("acme", last, tokens, readAt),
    cacheRow("acme", first, tokens, readAt),
  ];

  test("rows that exist are locked in key order, whatever the batch's or the table's", async () => {
    for (const row of backwards(1, await stamp())) await store(world, await claim(9), [row], [], 1);
    await inTheWay(async (client) => {
      await client.query(lockRow, [first]);
      const waiting = store(world, await claim(9), backwards(2, await stamp()), [], 9);
      await lockWaiters(world.pool, 1);
      expect((await client.query(`${lockRow} NOWAIT`, [last])).rows).toHaveLength(1);
      await client.query("COMMIT");
      expect(await waiting).toEqual({ ...one, written: 2 });
    });
  });

  test("new rows are inserted in key order", async () => {
    await inTheWay(async (client) => {
      await upsertRows(client, [cacheRow("acme", first, 1, await stamp())]);
      const waiting = store(world, await claim(9), backwards(2, await stamp()), [], 9);
      await lockWaiters(world.pool, 1);
      await client.query("SET LOCAL lock_timeout = '30s'"); // the writer must not have the last row yet
      await upsertRows(client, [cacheRow("acme", last, 1, await stamp("-1 minute"))]);
      await client.query("COMMIT");
      expect(await waiting).toEqual({ ...one, written: 2 });
    });
    expect(await stored()).toEqual(Array(2).fill({ total_tokens: "2", revision: "2" }));
  });

  test("a deadlock with somebody else's transaction is tried again", async () => {
    await store(world, await claim(9), backwards(1, await stamp()), [], 9);
    const own = await claim(9);
    // One transaction holds the last row and waits for the chunk, which the writer has; the other lets the writer reach the last
    // row only then. So the writer is the one to wait last, and the server ends its first try.
    await inTheWay(async (client) => {
      await client.query(lockRow, [last]);
      const { waiting, chunk } = await inTheWay(async (other) => {
        await other.query(lockRow, [first]);
        const waiting = store(world, own, backwards(2, await stamp()), [], 9);
        await lockWaiters(world.pool, 1);
        const chunk = client.query("SELECT FROM usage_chunk WHERE run_id = $1 FOR UPDATE", [own.runId]);
        await lockWaiters(world.pool, 2);
        return { waiting, chunk };
      });
      await chunk;
      await client.query("COMMIT");
      expect(await waiting).toEqual({ ...one, written: 2 });
    });
    expect(await stored()).toEqual(Array(2).fill({ total_tokens: "2", revision: "2" }));
  });

  test("ten writers of overlapping batches in opposite orders all end, and the newest read stands", async () => {
    const days = Array.from({ length: 30 }, (_, n) => `2026-03-${String(n + 1).padStart(2, "0")}`);
    const readStamps: string[] = [];
    for (let n = 0; n < 10; n++) readStamps.push(await stamp());
    const writers = readStamps.map(async (readAt, n) => {
      const own = days.slice(n, n + 20).map((day) => cacheRow("acme", day, n + 1, readAt));
      const counts = await store(world, await claim(30), n % 2 ? own.reverse() : own, [], 20);
      expect(counts.written + counts.stale).toBe(20);
    });
    await Promise.all(writers);
    const newest = days.map((_, n) => ({ total_tokens: String(Math.min(n, 9) + 1) }));
    expect(await stored()).toMatchObject(newest.slice(0, 29));
  });
});

describe("a claim", () => {
  async function writesNothing(own: Claim): Promise<void> {
    const rows = [cacheRow("acme", DAY, 1, await stamp())];
    await expect(store(world, own, rows, [{ tenant: "acme", date: DAY, error: "bad" }], 1)).rejects.toThrow(
      ClaimLostError,
    );
    expect(await stored()).toEqual([]);
    expect((await world.pool.query("SELECT FROM usage_change UNION ALL SELECT FROM usage_dirty")).rows).toEqual([]);
    const chunk = await world.pool.query("SELECT DISTINCT cursor, written, failed FROM usage_chunk");
    expect(chunk.rows).toEqual([{ cursor: 0, written: 0, failed: 0 }]);
  }

  test("that another process has taken over writes nothing and is not renewed", async () => {
    const lost = await claim();
    expect(await chunks.renew(lost)).toBe(true);
    await world.pool.query("UPDATE usage_chunk SET lease_until = clock_timestamp() - interval '1 second'");
    const taken = await chunks.claim(lost.runId, 0);
    expect(taken?.id).not.toBe(lost.id);
    await writesNothing(lost);
    expect(await chunks.renew(lost)).toBe(false);
    await chunks.done(lost);
    await chunks.handBack(lost);
    await chunks.retryLater(lost, "late");
    await chunks.fail(lost, "late");
    expect((await world.pool.query("SELECT state, claim, error FROM usage_chunk")).rows).toEqual([
      { state: "running", claim: taken?.id, error: null },
    ]);
  });

  test("on a cancelled chunk writes nothing", async () => {
    const own = await claim();
    await world.pool.query("UPDATE usage_chunk SET state = 'cancelled', claim = NULL, lease_until = NULL");
    await writesNothing(own);
    expect(await chunks.renew(own)).toBe(false);
  });

  test("writes nothing when the cancellation commits while the write waits", async () => {
    const own = await claim();
    await inTheWay(async (client) => {
      await client.query("UPDATE usage_chunk SET state = 'cancelled', claim = NULL, lease_until = NULL");
      const waiting = writesNothing(own);
      await lockWaiters(world.pool, 1);
      await client.query("COMMIT");
      await waiting;
    });
  });

  test("whose lease ran out still writes while nobody has taken the chunk over", async () => {
    const own = await claim();
    await world.pool.query("UPDATE usage_chunk SET lease_until = clock_timestamp() - interval '1 second'");
    expect(await store(world, own, [cacheRow("acme", DAY, 1, await stamp())], [], 1)).toEqual(one);
    expect(await chunks.claim(own.runId, 0)).toBeUndefined();
  });
});

test("a batch of which one row cannot be stored leaves no trace", async () => {
  const own = await claim(2);
  const rows = [
    cacheRow("acme", DAY, 1, await stamp()),
    { ...cacheRow("acme", "2026-03-02", 1, await stamp()), malformed: 2 },
  ];
  await expect(store(world, own, rows, [{ tenant: "acme", date: DAY, error: "bad" }], 2)).rejects.toThrow(/check/);
  expect(await stored()).toEqual([]);
  expect((await world.pool.query("SELECT FROM usage_change UNION ALL SELECT FROM usage_dirty")).rows).toEqual([]);
  expect((await world.pool.query("SELECT cursor, written FROM usage_chunk")).rows).toEqual([{ cursor: 0, written: 0 }]);
});
