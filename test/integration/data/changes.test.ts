import pg from "pg";
import { beforeEach, expect, test } from "vitest";
import { lockWaiters, stampAt } from "../../support/backends.ts";
import { cacheRow } from "../../support/cache-row.ts";
import { store, claimed } from "../../support/claimed.ts";
import { until } from "../../support/until.ts";
import { useWorld } from "../../support/world.ts";

const DAY = "2026-03-01";

const world = useWorld("changes", { WORKER_CONCURRENCY: "6" });
beforeEach(() => world.reset());

const stamp = (shift?: string) => stampAt(world.pool, shift);
const days = (count: number) => Array.from({ length: count }, (_, n) => `2026-03-${String(n + 1).padStart(2, "0")}`);
const claim = (tenant: string, count = 1) => claimed(world, [{ tenant, from: DAY, to: days(count).at(-1) ?? DAY }]);

async function write(tenant: string, tokens: number, readAt?: string) {
  const own = await claim(tenant);
  await store(world, own, [cacheRow(tenant, DAY, tokens, readAt ?? (await stamp()))], [], 1);
  return own.runId;
}

test("each change of content is recorded once, with the totals before and after and the run that made it", async () => {
  const runs = [await write("acme", 1), await write("acme", 1), await write("acme", 2), await write("acme", 0)];
  await write("acme", 9, await stamp("-1 hour"));
  await write("acme", 0);
  const { rows } = await world.pool.query(
    `SELECT run_id, tenant_id, date::text, revision, old_requests, old_tokens, old_cost, new_requests, new_tokens, new_cost,
            changed_at <= clock_timestamp() AS past
       FROM usage_change ORDER BY id`,
  );
  const change = (run: number, revision: number, old: string[] | null[], now: string[]) => ({
    run_id: runs[run],
    tenant_id: "acme",
    date: DAY,
    revision,
    old_requests: old[0],
    old_tokens: old[1],
    old_cost: old[2],
    new_requests: now[0],
    new_tokens: now[1],
    new_cost: now[2],
    past: true,
  });
  expect(rows).toEqual([
    change(0, 1, [null, null, null], ["1", "1", "0.001"]),
    change(2, 2, ["1", "1", "0.001"], ["1", "2", "0.002"]),
    change(3, 3, ["1", "2", "0.002"], ["1", "0", "0"]),
  ]);
});

test("a change wakes listeners and tells them nothing of the tenant; no change wakes nobody", async () => {
  const listener = new pg.Client(world.env["DATABASE_URL"]);
  await listener.connect();
  const heard: (string | undefined)[] = [];
  listener.on("notification", ({ payload }) => heard.push(payload));
  await listener.query("LISTEN daily_usage_cache");
  await write("acme", 1);
  await until("notification", () => heard.length === 1);
  await write("acme", 1);
  await write("acme", 2);
  await until("second notification", () => heard.length >= 2);
  expect(heard).toEqual(["", ""]);
  await listener.end();
});

test("no change is visible before a change with a lower id has been committed", async () => {
  // The slow writer has its ids and waits in the middle of its commit.
  await world.pool.query(`
    CREATE FUNCTION halt() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER halt AFTER INSERT ON usage_change DEFERRABLE INITIALLY DEFERRED
      FOR EACH ROW WHEN (NEW.tenant_id = 'slow') EXECUTE FUNCTION halt()`);
  const gate = await world.pool.connect();
  try {
    await gate.query("SELECT pg_advisory_lock(4711)");
    const slow = write("slow", 1);
    await lockWaiters(world.pool, 1);
    const fast = write("fast", 1);
    await lockWaiters(world.pool, 2);
    expect((await world.pool.query("SELECT tenant_id FROM usage_change")).rows).toEqual([]);
    await gate.query("SELECT pg_advisory_unlock(4711)");
    await Promise.all([slow, fast]);
    const { rows } = await world.pool.query("SELECT tenant_id FROM usage_change ORDER BY id");
    expect(rows).toEqual([{ tenant_id: "slow" }, { tenant_id: "fast" }]);
  } finally {
    await gate.query("SELECT pg_advisory_unlock_all()");
    gate.release();
    await world.pool.query("DROP TRIGGER halt ON usage_change; DROP FUNCTION halt()");
  }
});

test("a reader that pages by id misses nothing of six writers at once", async () => {
  const writers = Array.from({ length: 6 }, async (_, n) => {
    const own = await claim(`writer${n}`, 25);
    for (const [index, day] of days(25).entries()) {
      await store(world, own, [cacheRow(own.spans[0]?.tenant ?? "", day, 1, await stamp())], [], index + 1);
    }
  });
  let writing = true;
  const written = Promise.all(writers).finally(() => (writing = false));
  const seen: string[] = [];
  for (let more = true; more;) {
    const last = !writing;
    const { rows } = await world.pool.query<{ id: string }>(
      "SELECT id FROM usage_change WHERE id > $1 ORDER BY id LIMIT 7",
      [seen.at(-1) ?? 0],
    );
    seen.push(...rows.map(({ id }) => id));
    more = !last || rows.length > 0;
  }
  await written;
  const { rows } = await world.pool.query<{ id: string }>("SELECT id FROM usage_change ORDER BY id");
  expect(rows).toHaveLength(150);
  expect(seen).toEqual(rows.map(({ id }) => id));
});

test("a tenant-day leaves the dirty list when a read that began after it was listed is committed", async () => {
  const list = async () =>
    (await world.pool.query<{ date: string }>("SELECT date::text FROM usage_dirty ORDER BY 1")).rows;
  await world.pool.query(
    `INSERT INTO usage_dirty (tenant_id, date, found_at)
     SELECT tenant, date::date, clock_timestamp() FROM unnest('{acme,acme,other}'::text[], '{2026-03-01,2026-03-02,2026-03-01}'::text[]) AS u (tenant, date)`,
  );
  const before = await stamp("-1 minute");
  const after = await stamp();
  const own = await claim("acme", 3);
  const failed = [{ tenant: "acme", date: "2026-03-03", error: "bad" }];
  await store(world, own, [cacheRow("acme", DAY, 1, before), cacheRow("acme", "2026-03-02", 1, after)], failed, 3);
  expect(await list()).toEqual([{ date: "2026-03-01" }, { date: "2026-03-01" }, { date: "2026-03-03" }]);
  // One that fails while it is dirty keeps the moment of its discovery, and waits.
  await store(world, await claim("acme"), [], [{ tenant: "acme", date: DAY, error: "bad" }], 1);
  const { rows } = await world.pool.query(
    `SELECT tenant_id, found_at < $1::timestamptz AS found_before, not_before > clock_timestamp() AS waits
       FROM usage_dirty WHERE date = $2 ORDER BY 1`,
    [after, DAY],
  );
  expect(rows).toEqual([
    { tenant_id: "acme", found_before: true, waits: true },
    { tenant_id: "other", found_before: true, waits: false },
  ]);
});
