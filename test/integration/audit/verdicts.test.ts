import { Decimal128, type Document } from "mongodb";
import { describe, expect, test } from "vitest";
import { TotalsReader } from "../../../src/db/mongo/totals.ts";
import { addDays } from "../../support/civil-day.ts";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { todayIn, zoneBeforeNoon } from "../../support/quiet-hours.ts";
import { rebuild } from "../../support/rebuild.ts";
import { event } from "../../support/sample.ts";
import { useWorld, useWorlds } from "../../support/world.ts";
import { arrived } from "./arrived.ts";
import { eventsOf } from "../../support/event-collection.ts";
import { audit } from "./audited.ts";

const DAY = "2026-03-03";
const RANGE = { from: "2026-03-01", to: "2026-03-05" };
const AT = new Date(`${DAY}T18:00:00Z`);
const HOUR = 3_600;

const world = useWorld("verdicts");
const openWorld = useWorlds("verdicts_other");

/** Five days with four events each, an hour old, and their rows. */
async function stored(tenant: string): Promise<void> {
  await world.insert(arrived(daysOfEvents(tenant, RANGE.from, 5, 4), HOUR));
  const run = await rebuild(world, { ...RANGE, tenants: [tenant] });
  expect(run.days).toMatchObject({ planned: 5, written: 5 });
}

const change = (tenant: string, set: string) =>
  world.pool.query(`UPDATE daily_usage_cache SET ${set} WHERE tenant_id = $1 AND date = '${DAY}'`, [tenant]);

async function verdictOf(tenant: string, deep: boolean) {
  const { days, drift, pending } = await audit(world, { ...RANGE, tenants: [tenant], deep });
  expect(days.checked).toBe(5);
  expect(days.deep).toBe(deep ? 5 : 0);
  expect([...drift, ...pending].every(({ date }) => date === DAY)).toBe(true);
  if (days.equal === 5) return "equal";
  expect(days.equal).toBe(4);
  if (pending.length > 0) return "pending";
  return [drift[0]?.verdict, ...(drift[0]?.columns ?? [])].join(" ");
}

test("rows that are as their events say are equal", async () => {
  await stored("equal");
  expect([await verdictOf("equal", false), await verdictOf("equal", true)]).toEqual(["equal", "equal"]);
});

describe("a row that somebody changed", () => {
  const of = (column: string, path: string) => `${column} = jsonb_set(${column}, '${path}', '77')`;
  test.each([
    ["tokens", "total_tokens = total_tokens + 1", "drifted total_tokens"],
    ["prompt", "prompt_tokens = prompt_tokens - 1", "drifted prompt_tokens"],
    ["completion", "completion_tokens = 0", "drifted completion_tokens"],
    ["cost", "total_cost = total_cost + 0.000000000000000001", "drifted total_cost"],
    ["fine cost", "total_cost = total_cost + 0.0000000000000000001", "drifted total_cost"],
    ["no cost", "total_cost = 'NaN'", "drifted total_cost"],
  ])("has a wrong total column: a shallow audit finds it by the sums: %s", async (name, set, verdict) => {
    await stored(name);
    await change(name, set);
    expect([await verdictOf(name, false), await verdictOf(name, true)]).toEqual([verdict, verdict]);
  });

  test("has a wrong event count: a shallow audit finds it by the count, a deep one names both columns", async () => {
    await stored("count");
    await change("count", "total_requests = 5, source_events = 5");
    expect(await verdictOf("count", false)).toBe("drifted total_requests");
    expect(await verdictOf("count", true)).toBe("drifted total_requests source_events");
  });

  test.each([
    ["raw_data", of("raw_data", "{rows,0,4}")],
    ["aggregated_by_user", of("aggregated_by_user", "{user-1,totalTokens}")],
    ["aggregated_by_model", "aggregated_by_model = aggregated_by_model - 'gpt-4o'"],
    ["aggregated_by_provider", of("aggregated_by_provider", "{openai,totalCost}")],
    ["malformed_events", "malformed_events = 1"],
    ["content_hash", "content_hash = sha256('x')"],
  ])("has another %s alone: only a deep audit finds it", async (column, set) => {
    await stored(column);
    await change(column, set);
    expect([await verdictOf(column, false), await verdictOf(column, true)]).toEqual(["equal", `drifted ${column}`]);
  });

  test("is shown with what it says and what its events say", async () => {
    await stored("figures");
    await change("figures", "total_cost = 12.5, total_tokens = 7");
    const { drift } = await audit(world, { ...RANGE, tenants: ["figures"] });
    // the third day's events have 1 + 8 .. 1 + 11 prompt tokens and 5 completion tokens each
    const fresh = { requests: "4", tokens: "62", prompt: "42", completion: "20", cost: "0.004" };
    expect(drift).toEqual([
      {
        tenant: "figures",
        date: DAY,
        verdict: "drifted",
        stored: { ...fresh, tokens: "7", cost: "12.5" },
        fresh,
        columns: ["total_tokens", "total_cost"],
      },
    ]);
  });
});

describe("a row that is gone", () => {
  const remove = (tenant: string) =>
    world.pool.query(`DELETE FROM daily_usage_cache WHERE tenant_id = $1 AND date = '${DAY}'`, [tenant]);

  test("is missing", async () => {
    await stored("gone");
    await remove("gone");
    expect(await verdictOf("gone", false)).toBe("missing");
    const { drift } = await audit(world, { ...RANGE, tenants: ["gone"], deep: true });
    expect(drift).toMatchObject([
      { date: DAY, verdict: "missing", stored: null, fresh: { requests: "4" }, columns: [] },
    ]);
  });

  test("is missing where its tenant's rows are said to be whole, though it would be a zero row", async () => {
    const gap = ["2026-03-01", "2026-03-05"].flatMap((day) => daysOfEvents("zero", day, 1));
    await world.insert(arrived(gap, HOUR));
    await rebuild(world, { ...RANGE, tenants: ["zero"] });
    await remove("zero");
    expect(await verdictOf("zero", false)).toBe("missing");
    await world.pool.query(
      "UPDATE usage_tenant SET computed_from = NULL, computed_through = NULL WHERE tenant_id = 'zero'",
    );
    expect(await verdictOf("zero", false)).toBe("equal"); // nothing is promised, and there is nothing to count
  });
});

describe("events that came or went after a row was read", () => {
  const late = (tenant: string, differs: Document = {}) => event({ tenant_id: tenant, created_at: AT, ...differs });

  test("make the row pending where their ids say so", async () => {
    await stored("late");
    await world.insert(arrived([late("late")], 0));
    expect([await verdictOf("late", false), await verdictOf("late", true)]).toEqual(["pending", "pending"]);
  });

  test("make the row pending where their ids are a few seconds older than its read, which may have missed them", async () => {
    await stored("just before");
    await world.insert(arrived([late("just before")], 8));
    expect(await verdictOf("just before", false)).toBe("pending");
  });

  test("are drift where their ids are older than the read", async () => {
    await stored("old id");
    await world.insert(arrived([late("old id")], HOUR));
    expect([await verdictOf("old id", false), await verdictOf("old id", true)].map((v) => v.split(" ")[0])).toEqual([
      "drifted",
      "drifted",
    ]);
  });

  test("do not hide another event whose id is old", async () => {
    await stored("both");
    await world.insert([...arrived([late("both")], 0), ...arrived([late("both")], HOUR)]);
    expect(await verdictOf("both", false)).toMatch(/^drifted/);
  });

  test.each([
    ["more", "total_cost = total_cost + 9"],
    ["less", "total_cost = total_cost - 0.0000001"],
  ])("do not hide a change of the row: %s", async (name, set) => {
    await stored(name);
    await world.insert(arrived([late(name)], 0));
    await change(name, set);
    expect(await verdictOf(name, false)).toMatch(/^drifted/);
  });

  test("excuse nothing where the row lacks none of them", async () => {
    await world.insert(arrived(daysOfEvents("fresh ids", RANGE.from, 5, 4), 0)); // all may have come after the read
    await rebuild(world, { ...RANGE, tenants: ["fresh ids"] });
    await change("fresh ids", "total_tokens = total_tokens - 1");
    expect(await verdictOf("fresh ids", false)).toBe("drifted total_tokens");
  });

  test("are drift when they were deleted", async () => {
    await stored("deleted");
    await world.events.deleteOne({ tenant_id: "deleted", created_at: new Date(`${DAY}T12:00:00Z`) });
    expect(await verdictOf("deleted", false)).toMatch(/^drifted/);
  });

  test("are pending while their day is on the list of what is to be rebuilt", async () => {
    await stored("dirty");
    await world.insert(arrived([late("dirty")], HOUR));
    await world.pool.query(
      `INSERT INTO usage_dirty (tenant_id, date, found_at) VALUES ('dirty', '${DAY}', clock_timestamp())`,
    );
    expect(await verdictOf("dirty", false)).toBe("pending");
  });

  test("make the audit read again a row that was written while it read", async () => {
    await stored("rewritten");
    const totals = new TotalsReader(eventsOf(world));
    let isRewritten = false;
    const { days } = await audit(
      world,
      { from: DAY, to: DAY, tenants: ["rewritten"] },
      {
        totals: new Proxy(totals, {
          get:
            () =>
            async (...args: Parameters<TotalsReader["readTotals"]>) => {
              const read = await totals.readTotals(...args);
              if (!isRewritten) {
                isRewritten = true;
                await world.insert(arrived([late("rewritten")], HOUR));
                await rebuild(world, { from: DAY, to: DAY, tenants: ["rewritten"] });
              }
              return read;
            },
        }),
      },
    );
    expect(isRewritten).toBe(true);
    expect(days).toMatchObject({ checked: 1, equal: 1 });
  });
});

test("what is malformed in keys alone does not trouble the sums", async () => {
  const odd = [
    { user_id: 1.5 },
    { model: 7 },
    { provider: true },
    { cost: "free" },
    { prompt_tokens: -1 },
    { total_tokens: 15 },
  ];
  await world.insert(
    arrived(
      odd.map((differs) => event({ tenant_id: "odd", created_at: AT, ...differs })),
      HOUR,
    ),
  );
  await rebuild(world, { from: DAY, to: DAY, tenants: ["odd"] });
  for (const deep of [false, true]) {
    expect((await audit(world, { from: DAY, to: DAY, tenants: ["odd"], deep })).days).toMatchObject({
      checked: 1,
      equal: 1,
    });
  }
});

test("a day's cost that one sum cannot hold is compared exactly", async () => {
  const cost = Decimal128.fromString("999999999999.999999999999999999");
  const many = Array.from({ length: 10_100 }, (_, n) =>
    event({ tenant_id: "rich", user_id: `u${n % 3}`, total_tokens: 15, cost, created_at: AT }),
  );
  await world.insert(arrived(many, HOUR));
  await rebuild(world, { from: DAY, to: DAY, tenants: ["rich"] });
  const { days } = await audit(world, { from: DAY, to: DAY, tenants: ["rich"] });
  expect(days).toMatchObject({ checked: 1, equal: 1 });
});

describe("days", () => {
  const zone = zoneBeforeNoon();
  const today = todayIn(zone);

  test("that are not final are left out and counted, unless asked for", async () => {
    const recent = await openWorld({ USAGE_TIMEZONE: zone });
    const from = addDays(today, -6);
    await recent.insert(arrived(daysOfEvents("acme", from, 6), HOUR)); // the last of them ended today
    await rebuild(recent, { from, to: addDays(today, -4) });
    const range = { from, to: today };
    const final = await audit(recent, range);
    expect(final).toMatchObject({ notFinal: 2, days: { checked: 4, equal: 3, missing: 1 } });
    expect(final.drift).toMatchObject([{ date: addDays(today, -3), verdict: "missing" }]);
    const all = await audit(recent, { ...range, allStates: true });
    expect(all).toMatchObject({ notFinal: 0, days: { checked: 6, equal: 3, missing: 1, pending: 2 } });
  });

  test("before the horizon are skipped: their events may be gone already", async () => {
    const short = await openWorld({ EVENTS_RETENTION_DAYS: "20", USAGE_TIMEZONE: zone });
    const from = addDays(today, -30);
    await short.insert(arrived(daysOfEvents("acme", from, 25), HOUR));
    const { days, drift } = await audit(short, { from, to: addDays(today, -6), deep: true });
    // of the 20th day back only a part is kept
    expect(days).toMatchObject({ skipped: 11, missing: 14, checked: 14, failed: 0 });
    expect(drift[0]?.date).toBe(addDays(today, -19));
    const shallow = await audit(short, { from, to: addDays(today, -6) });
    expect(shallow.days).toMatchObject({ skipped: 11, missing: 14 });
  });

  test("that cannot be read are counted and named", async () => {
    await world.insert(arrived([event({ tenant_id: "late read", created_at: AT })], HOUR));
    const { TenantDayError } = await import("../../../src/db/mongo/events.ts");
    const events = { readDay: () => Promise.reject(new TenantDayError("too much")) } as never;
    const { days, failed } = await audit(world, { from: DAY, to: DAY, tenants: ["late read"], deep: true }, { events });
    expect(days).toMatchObject({ checked: 0, failed: 1 });
    expect(failed).toEqual([{ tenant: "late read", date: DAY, error: "too much" }]);
  });
});
