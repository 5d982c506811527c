import pg from "pg";
import { beforeAll, expect, test } from "vitest";
import { Services } from "../../../src/services.ts";
import { stampAt } from "../../support/backends.ts";
import { cacheRow } from "../../support/cache-row.ts";
import { store, claimed } from "../../support/claimed.ts";
import { mulberry32 } from "../../support/random.ts";
import { until } from "../../support/until.ts";
import { useWorld } from "../../support/world.ts";

const WRITERS = 6;
const BATCHES = 30;
const KEYS = ["a", "b", "c"].flatMap((tenant) =>
  ["2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04"].map((date) => ({ tenant, date })),
);

/** A row of usage_changes(). */
interface ChangeRow {
  readonly id: string;
  readonly tenant_id: string;
  readonly date: string;
  readonly revision: number;
  readonly old_requests: string | null;
  readonly old_tokens: string | null;
  readonly old_cost: string | null;
  readonly new_tokens: string;
  readonly new_cost: string;
}

const world = useWorld("feed");
beforeAll(async () => {
  // Commits that take a moment, and each another one: without the lock they would not come in the order of the ids.
  await world.pool.query(`
    CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM count(*) FROM generate_series(1, (NEW.id * 7919 % 4000)::int); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON usage_change DEFERRABLE INITIALLY DEFERRED
      FOR EACH ROW EXECUTE FUNCTION dawdle()`);
});

/**
 * One of several processes that write the same tenant-days: batches of some of them, with other figures each time.
 *
 * @returns how many rows it wrote
 */
async function write(writer: number): Promise<number> {
  const random = mulberry32(writer);
  const services = new Services(world.config, world.services.log);
  try {
    const own = await claimed({ ...world, services }, [{ tenant: "a", from: "2026-01-01", to: "2026-12-31" }]);
    let rows = 0;
    for (let batch = 1; batch <= BATCHES; batch++) {
      const readAt = await stampAt(world.pool);
      const keys = KEYS.filter(() => random() < 0.4);
      const tokens = () => Math.floor(random() * 1_000_000);
      const batchRows = keys.map(({ tenant, date }) => cacheRow(tenant, date, tokens(), readAt));
      rows += (await store(world, own, batchRows, [], batch)).written;
    }
    return rows;
  } finally {
    await services.close();
  }
}

/** Pages as the contract says, until `isOver` was true before a page that is empty. */
async function follow(isOver: () => boolean): Promise<ChangeRow[]> {
  const seen: ChangeRow[] = [];
  for (;;) {
    const wasOver = isOver();
    const { rows } = await world.pool.query<ChangeRow>("SELECT *, date::text FROM usage_changes($1, 7)", [
      seen.at(-1)?.id ?? 0,
    ]);
    seen.push(...rows);
    if (wasOver && rows.length === 0) return seen;
  }
}

test("a reader that pages by id while many processes write misses nothing, sees nothing twice, and each day in order", async () => {
  const listener = new pg.Client(world.env["DATABASE_URL"]);
  await listener.connect();
  const heard: (string | undefined)[] = [];
  listener.on("notification", ({ channel, payload }) => heard.push(`${channel}:${payload}`));
  await listener.query("LISTEN daily_usage_cache");

  let isOver = false;
  const writing = Promise.all(Array.from({ length: WRITERS }, (_, n) => write(n))).finally(() => (isOver = true));
  const [seen, written] = await Promise.all([follow(() => isOver), writing]);

  const { rows: stored } = await world.pool.query<{ id: string }>("SELECT id FROM usage_change ORDER BY id");
  expect(seen.map(({ id }) => id)).toEqual(stored.map(({ id }) => id));
  expect(seen).toHaveLength(written.reduce((sum, rows) => sum + rows, 0));

  for (const { tenant, date } of KEYS) {
    const own = seen.filter((change) => change.tenant_id === tenant && change.date === date);
    expect(own.map(({ revision }) => revision)).toEqual(own.map((_, index) => index + 1));
    expect(own[0]).toMatchObject({ old_requests: null, old_tokens: null, old_cost: null });
    expect(own.slice(1)).toMatchObject(
      own.slice(0, -1).map((before) => ({
        old_requests: "1",
        old_tokens: before.new_tokens,
        old_cost: before.new_cost,
      })),
    );
    const { rows } = await world.pool.query(
      "SELECT revision, total_tokens FROM daily_usage_cache WHERE tenant_id = $1 AND date = $2",
      [tenant, date],
    );
    expect(rows).toEqual([{ revision: own.length, total_tokens: own.at(-1)?.new_tokens }]);
  }

  await until("wake-up", () => heard.length > 0);
  expect(new Set(heard)).toEqual(new Set(["daily_usage_cache:"]));
  await listener.end();
});

test("a page has at most so many rows, a thousand unless told, and begins after the cursor", async () => {
  const ids = async (...cursor: number[]) =>
    (
      await world.pool.query<{ id: string }>(
        `SELECT id FROM usage_changes(${cursor.map((_, index) => `$${index + 1}`).join(", ")})`,
        cursor,
      )
    ).rows.map(({ id }) => Number(id));
  await world.reset();
  await world.pool.query(
    "INSERT INTO usage_change (run_id, tenant_id, date, revision) SELECT gen_random_uuid(), 'a', '2026-03-01', 1 FROM generate_series(1, 1200)",
  );
  expect(await ids(0)).toEqual(Array.from({ length: 1_000 }, (_, index) => index + 1));
  expect(await ids(1_000)).toHaveLength(200);
  expect(await ids(5, 3)).toEqual([6, 7, 8]);
  expect(await ids(1_200)).toEqual([]);
  expect(await ids(5_000)).toEqual([]);
});
