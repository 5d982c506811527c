import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Pool } from "../../../src/db/postgres/pool.ts";
import { forgetComputed, widenTenantSpans } from "../../../src/db/postgres/tenants.ts";
import { lockWaiters } from "../../support/backends.ts";
import { useWorld } from "../../support/world.ts";
import { day, numberOf, rows, span, TenantTables } from "./tenant-tables.ts";

const world = useWorld("computed");
let pool: Pool;
let tables: TenantTables;
beforeAll(async () => {
  pool = await world.services.rawPool();
  tables = new TenantTables(pool);
});
beforeEach(() => world.reset());

describe("the end of a run", () => {
  test("computes the days that were read after they ended, and not one that is open", async () => {
    await tables.widen("a", 1, 10);
    await tables.store("a", new Map([...rows(3, 8), ...rows(9, 9, "settling"), ...rows(10, 10, "open")]));
    await tables.end([span("a", 3, 10)]);
    expect(await tables.range()).toEqual([3, 9]);
  });

  test("joins what touches or overlaps the range, and takes in the rows of others that lie next to it", async () => {
    await tables.widen("a", 1, 30);
    await tables.store("a", rows(10, 12));
    await tables.end([span("a", 10, 12)]);
    await tables.store("a", rows(13, 14));
    await tables.end([span("a", 13, 14)]);
    expect(await tables.range()).toEqual([10, 14]);
    await tables.store("a", rows(9, 9));
    await tables.end([span("a", 9, 11)]);
    expect(await tables.range()).toEqual([9, 14]);
    await tables.store("a", new Map([...rows(2, 7), ...rows(16, 18)])); // rows of runs that never ended
    await tables.store("a", new Map([...rows(8, 8), ...rows(15, 15)]));
    await tables.end([span("a", 8, 8), span("a", 15, 15)]);
    expect(await tables.range()).toEqual([2, 18]);
  });

  test("of two stretches keeps the later one, and joins them when the day between them is there", async () => {
    await tables.widen("a", 1, 30);
    await tables.store("a", new Map([...rows(1, 5), ...rows(7, 9)]));
    await tables.end([span("a", 1, 9)]);
    expect(await tables.range()).toEqual([7, 9]);
    await tables.end([span("a", 1, 5)]);
    expect(await tables.range()).toEqual([7, 9]);
    await tables.store("a", rows(6, 6));
    await tables.end([span("a", 6, 6)]);
    expect(await tables.range()).toEqual([1, 9]);
    await tables.store("a", rows(20, 22));
    await tables.end([span("a", 20, 22)]);
    expect(await tables.range()).toEqual([20, 22]);
  });

  test("extends the range to the day through which no event was found, but only from the last day with events", async () => {
    await tables.widen("a", 1, 10, 15);
    await tables.store("a", rows(1, 9));
    await tables.end([span("a", 1, 10)]); // the 10th failed
    expect(await tables.range()).toEqual([1, 9]);
    await tables.store("a", rows(10, 10));
    await tables.end([span("a", 10, 10)]);
    expect(await tables.range()).toEqual([1, 15]);
  });

  test("of a run over all tenants extends the ranges of tenants that had nothing to rebuild, too", async () => {
    for (const tenant of ["a", "b", "c"]) {
      await tables.widen(tenant, 1, 5, 6);
      await tables.store(tenant, tenant === "c" ? rows(1, 4) : rows(1, 5));
      await tables.end([span(tenant, 1, 5)]);
      await tables.widen(tenant, 1, 5, 9);
    }
    await tables.end([span("a", 5, 5)]);
    expect([await tables.range("a"), await tables.range("b"), await tables.range("c")]).toEqual([[1, 9], [1, 6], [1, 4]]); // prettier-ignore
    await tables.end([], true);
    expect([await tables.range("a"), await tables.range("b"), await tables.range("c")]).toEqual([[1, 9], [1, 9], [1, 4]]); // prettier-ignore
  });

  test("waits for an undo that removes rows meanwhile, and does not count them", async () => {
    await tables.widen("a", 1, 9);
    await tables.store("a", rows(1, 9));
    const undo = await pool.connect();
    try {
      await undo.query("BEGIN");
      await undo.query("DELETE FROM daily_usage_cache WHERE date = $1", [day(4)]);
      await forgetComputed(undo, [{ tenant: "a", date: day(4) }]);
      const ending = tables.end([span("a", 1, 9)]);
      await lockWaiters(world.pool, 1);
      await undo.query("COMMIT");
      await ending;
    } finally {
      undo.release();
    }
    expect(await tables.range()).toEqual([5, 9]);
  });
});

describe("new days of a tenant", () => {
  test("end a range that went on after the old last day, and make the days between dirty", async () => {
    await tables.widen("a", 1, 5, 12);
    await tables.widen("new", 1, 5, 12);
    await tables.store("a", rows(1, 5));
    await tables.end([span("a", 1, 5)]);
    expect(await tables.range()).toEqual([1, 12]);
    await tables.store("a", rows(7, 7));
    await widenTenantSpans(pool, [
      { tenant: "a", from: day(9), to: day(9) },
      { tenant: "a", from: day(2), to: day(10) }, // found on several days
      { tenant: "new", from: day(10), to: day(10) }, // never computed: what has no row says nothing
    ]);
    expect(await tables.range()).toEqual([1, 5]);
    const { rows: dirty } = await pool.query<{ tenant_id: string; date: string }>(
      "SELECT tenant_id, date FROM usage_dirty ORDER BY 1, 2",
    );
    expect(dirty.map(({ tenant_id, date }) => [tenant_id, numberOf(date)])).toEqual([["a", 6], ["a", 8], ["a", 9]]); // prettier-ignore
  });

  test("never narrow a span, and leave the range alone where the last day is the same", async () => {
    await tables.widen("a", 3, 5, 12);
    await tables.store("a", rows(3, 5));
    await tables.end([span("a", 3, 5)]);
    await tables.widen("a", 4, 4, 11);
    await tables.widen("a", 2, 5);
    const { rows: stored } = await pool.query("SELECT * FROM usage_tenant");
    expect(stored).toEqual([
      {
        tenant_id: "a",
        first_day: day(2),
        last_day: day(5),
        computed_from: day(3),
        computed_through: day(12),
        searched_through: day(12),
      },
    ]);
    expect((await pool.query("SELECT FROM usage_dirty")).rowCount).toBe(0);
  });

  test("make at most some ten years of one tenant dirty, the latest", async () => {
    await tables.widen("a", 1, 5);
    await tables.store("a", rows(1, 5));
    await tables.end([span("a", 1, 5)]);
    await tables.widen("a", 1, 5_000);
    const { rows: dirty } = await pool.query<{ n: number; first: string; last: string }>(
      "SELECT count(*)::int AS n, min(date) AS first, max(date) AS last FROM usage_dirty",
    );
    expect(dirty).toEqual([{ n: 3_660, first: day(1_340), last: day(4_999) }]);
  });
});

describe("rows that an undo removes", () => {
  test.each([
    [[4], [5, 9]],
    [
      [4, 6],
      [7, 9],
    ],
    [[9], [1, 8]],
    [
      [1, 9],
      [null, null],
    ],
    [
      [5, 9],
      [1, 4],
    ],
    [[12], [1, 9]],
    [[], [1, 9]],
  ])("leave of 1 to 9 without %j what is %j", async (numbers, left) => {
    await tables.widen("a", 1, 9);
    await tables.store("a", rows(1, 9));
    await tables.end([span("a", 1, 9)]);
    await tables.remove("a", numbers);
    expect(await tables.range()).toEqual(left);
  });
});
