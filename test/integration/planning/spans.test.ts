import { Double, Int32, Long, ObjectId, UUID, type Document } from "mongodb";
import { beforeEach, describe, expect, test } from "vitest";
import { TenantReader } from "../../../src/db/mongo/tenants.ts";
import { Tenants } from "../../../src/rebuild/tenants.ts";
import type { Day } from "../../../src/usage/day.ts";
import { event } from "../../support/sample.ts";
import { eventsOf } from "../../support/event-collection.ts";
import { useWorld } from "../../support/world.ts";

const TODAY = "2026-03-10";
const NEAR = { from: "2026-03-05", to: "2026-03-09" };
const { signal } = new AbortController();

const world = useWorld("spans");
beforeEach(() => world.reset());

/** What there is to know about tenants on a day, and how often the events were asked. */
async function tenantsOn(today: Day) {
  const asked = { findOne: 0, aggregate: 0 };
  const collection = new Proxy(world.events, {
    get(target, name) {
      const member = Reflect.get(target, name, target) as unknown;
      if (name !== "findOne" && name !== "aggregate") return member;
      return (...args: unknown[]) => {
        asked[name]++;
        return (member as (...all: unknown[]) => unknown).apply(target, args);
      };
    },
  });
  const reader = new TenantReader(eventsOf(world, collection), "UTC");
  return { asked, tenants: new Tenants(reader, await world.services.pool(), () => today) };
}

const on = (tenant_id: unknown, ...days: Day[]): Document[] =>
  days.flatMap((day) => [
    event({ tenant_id, created_at: new Date(`${day}T00:00:00Z`) }),
    event({ tenant_id, created_at: new Date(`${day}T23:59:59.999Z`) }),
  ]);

const remembered = async () =>
  (
    await world.pool.query<Record<string, string>>(
      `SELECT tenant_id AS tenant, first_day::text AS first, last_day::text AS last, searched_through::text AS searched
         FROM usage_tenant ORDER BY 1`,
    )
  ).rows;

describe("tenants that nobody knows yet", () => {
  test("have the same spans asked for together as alone, whatever the type of their ids", async () => {
    const hex = "0123456789abcdef01234567";
    const uuid = "0190a5d2-7c1e-7def-8123-456789abcdef";
    await world.insert([
      ...on("text", "2019-05-05", "2026-03-05"),
      ...on(new ObjectId(hex), "2026-03-01"),
      ...on(hex, "2026-03-07"),
      ...on(new UUID(uuid), "2025-12-31", "2026-03-10"),
      ...on(Long.fromNumber(4711), "2026-02-01"),
      ...on(new Int32(4711), "2026-02-03"),
      ...on(new Double(4711), "2026-02-05"),
      ...on("4711", "2026-01-30"),
      ...on("tomorrow", "2026-03-11"),
      ...on("beyond", "2026-03-12"),
      ...on("before time", "1999-12-31"),
      event({ tenant_id: "array", created_at: [new Date("2026-03-06")] }),
      event({ tenant_id: ["text"], created_at: new Date("2026-03-10") }),
      ...on("not asked", "2026-03-06"),
    ]);
    const names = ["text", hex, uuid, "4711", "tomorrow", "beyond", "before time", "array", "nobody"];
    const { asked, tenants } = await tenantsOn(TODAY);
    const together = await tenants.findSpans(names, NEAR, signal);
    expect(asked).toEqual({ findOne: 0, aggregate: 1 });
    expect(together).toEqual(
      [
        { tenant: uuid, from: "2025-12-31", to: "2026-03-10" },
        { tenant: hex, from: "2026-03-01", to: "2026-03-07" },
        { tenant: "4711", from: "2026-01-30", to: "2026-02-05" },
        { tenant: "text", from: "2019-05-05", to: "2026-03-05" },
        { tenant: "tomorrow", from: "2026-03-11", to: "2026-03-11" },
      ].sort((a, b) => (a.tenant < b.tenant ? -1 : 1)),
    );
    const alone = [];
    for (const name of names) alone.push(...(await tenants.findSpans([name], NEAR, signal)));
    expect(asked.aggregate).toBe(1);
    expect(alone).toEqual(expect.arrayContaining(together));
    expect(alone).toHaveLength(together.length);
    expect(await remembered()).toEqual([]); // to find is not to learn
  });

  test("are remembered when learnt, with the last day that had ended when they were searched", async () => {
    await world.insert([...on("a", "2026-03-01", "2026-03-03"), ...on("b", TODAY)]);
    const { tenants } = await tenantsOn(TODAY);
    await tenants.learnSpans(["a", "b", "nobody"], NEAR, signal);
    expect(await remembered()).toEqual([
      { tenant: "a", first: "2026-03-01", last: "2026-03-03", searched: "2026-03-09" },
      { tenant: "b", first: TODAY, last: TODAY, searched: "2026-03-09" },
    ]);
  });
});

describe("tenants that are known", () => {
  const names = Array.from({ length: 300 }, (_, n) => `t${String(n).padStart(3, "0")}`);

  beforeEach(async () => {
    await world.insert(names.flatMap((tenant) => on(tenant, "2026-02-01", "2026-03-08")));
    const { tenants } = await tenantsOn("2026-03-08");
    await tenants.learnSpans(names, NEAR, signal);
  });

  test("cost one question a hundred where nothing is new", async () => {
    const { asked, tenants } = await tenantsOn(TODAY);
    const spans = await tenants.learnSpans(names, NEAR, signal);
    expect(asked).toEqual({ findOne: 3, aggregate: 0 });
    expect(spans).toHaveLength(300);
    expect(spans[7]).toEqual({ tenant: "t007", from: "2026-02-01", to: "2026-03-08" });
    expect((await remembered())[7]).toMatchObject({ last: "2026-03-08", searched: "2026-03-09" });
  });

  test("are widened by what is new after their last day, each to its own last one", async () => {
    await world.insert([
      ...on("t001", "2026-03-09"),
      ...on("t002", "2026-03-09", "2026-03-11"),
      ...on("t003", "2026-03-12"),
    ]);
    const { asked, tenants } = await tenantsOn(TODAY);
    const spans = await tenants.learnSpans(names, NEAR, signal);
    expect(spans.slice(0, 4).map(({ to }) => to)).toEqual(["2026-03-08", "2026-03-09", "2026-03-11", "2026-03-08"]);
    expect(asked.findOne).toBe(3);
    expect(asked.aggregate).toBeLessThanOrEqual(3);
    expect((await remembered()).slice(1, 3)).toMatchObject([{ last: "2026-03-09" }, { last: "2026-03-11" }]);
  });

  test("are found again after a long silence", async () => {
    await world.insert(on("t004", "2028-02-28"));
    const { asked, tenants } = await tenantsOn("2029-01-01");
    const spans = await tenants.learnSpans(names, { from: "2028-12-31", to: "2028-12-31" }, signal);
    expect(spans.filter(({ to }) => to !== "2026-03-08")).toEqual([
      { tenant: "t004", from: "2026-02-01", to: "2028-02-28" },
    ]);
    expect(asked.aggregate).toBeLessThanOrEqual(11); // windows of 1, 2, 4 .. days, back to the last day known
  });

  test("are searched before their first day only where the days in question begin before it", async () => {
    await world.insert([...on("t005", "2026-01-15", "2026-01-20"), ...on("t250", "2001-01-01")]);
    const { tenants } = await tenantsOn(TODAY);
    const firsts = async (from: Day) => {
      const spans = await tenants.findSpans(names, { from, to: TODAY }, signal);
      return spans
        .filter(({ from: first }) => first !== "2026-02-01")
        .map(({ tenant, from: first }) => `${tenant} ${first}`);
    };
    expect(await firsts("2026-02-01")).toEqual([]);
    expect(await firsts("2026-01-31")).toEqual(["t005 2026-01-15", "t250 2001-01-01"]);
  });

  test("stay known when their events are gone", async () => {
    await world.events.deleteMany({});
    const { tenants } = await tenantsOn(TODAY);
    expect(await tenants.findSpans(["t000", "nobody"], NEAR, signal)).toEqual([
      { tenant: "t000", from: "2026-02-01", to: "2026-03-08" },
    ]);
  });
});
