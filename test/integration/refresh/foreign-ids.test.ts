import { MongoClient, UUID } from "mongodb";
import { beforeEach, describe, expect, test } from "vitest";
import { ArrivalReader } from "../../../src/db/mongo/arrivals.ts";
import { Services } from "../../../src/services.ts";
import { rebuild } from "../../support/rebuild.ts";
import { event } from "../../support/sample.ts";
import { storedRows } from "../../support/stored-rows.ts";
import { useWorld, type World } from "../../support/world.ts";
import { eventsOf } from "../../support/event-collection.ts";
import { dateAt, dirty, follow, idAt, noon, workOff, ZONE } from "./follow.ts";

const world = useWorld("foreign", { USAGE_TIMEZONE: ZONE, SETTLE_HOURS: "8760" });
beforeEach(() => world.reset());

const { signal } = new AbortController();

describe.each([
  ["UUIDs as text", () => new UUID().toString() as unknown],
  ["integers", (n: number) => n as unknown],
])("a collection whose ids are %s", (_what, newId) => {
  let made = 0;
  const stored = (tenant_id: string, date: string) => event({ _id: newId(++made), tenant_id, created_at: noon(date) });

  test("is followed by counting today and yesterday of each known tenant", async () => {
    await world.insert([stored("acme", dateAt(0)), stored("acme", dateAt(-1)), stored("acme", dateAt(-3))]);
    await world.insert([stored("zeta", dateAt(-1)), stored("zeta", dateAt(-3))]);
    await rebuild(world, { from: dateAt(-3), to: dateAt(0) });
    expect(await follow(world)).toMatchObject({ events: 0, differing: 0, runId: null });

    await world.insert([stored("acme", dateAt(0)), stored("zeta", dateAt(-1)), stored("zeta", dateAt(0))]);
    await world.insert([stored("acme", dateAt(-3))]); // for the nightly rebuild to find
    const followed = await follow(world);
    expect(followed).toMatchObject({ days: 4, differing: 3 });
    expect(await dirty(world)).toEqual([`acme ${dateAt(0)}`, `zeta ${dateAt(-1)}`, `zeta ${dateAt(0)}`]);
    expect(await workOff(world, followed.runId)).toMatchObject({ state: "done", days: { written: 3 } });
    const rows = await storedRows(world.pool);
    expect(rows.get(`acme|${dateAt(0)}`)).toMatchObject({ source_events: "2" });
    expect(rows.get(`acme|${dateAt(-3)}`)).toMatchObject({ source_events: "1" });
    const known = await world.pool.query("SELECT last_day::text FROM usage_tenant WHERE tenant_id = 'zeta'");
    expect(known.rows).toEqual([{ last_day: dateAt(0) }]);

    expect(await follow(world)).toMatchObject({ differing: 0, runId: null });
  });

  test("is warned of once, over all processes, and not asked about again", async () => {
    await world.insert([stored("acme", dateAt(-1))]);
    const other: World = { ...world, services: new Services(world.config, world.services.log) };
    try {
      const both = await Promise.all([follow(world), follow(other)]);
      const said = both.flatMap(({ warnings }) => warnings);
      expect(said).toHaveLength(1);
      expect(said[0]?.msg).toContain("not every _id is an ObjectId");
      const arrivals = new ArrivalReader(eventsOf(world), ZONE);
      arrivals.foreignIdType = () => Promise.reject(new Error("asked again"));
      expect(await follow(world, { arrivals })).toMatchObject({ moved: true, warnings: [] });
    } finally {
      await other.services.close();
    }
  });
});

test("a collection of ObjectIds is asked about at each refresh, and counts nothing that did not arrive", async () => {
  await world.insert([event({ _id: idAt(-40 * 86_400), created_at: noon(dateAt(0)) })]);
  await rebuild(world, { from: dateAt(-1), to: dateAt(0) });
  expect(await follow(world)).toMatchObject({ events: 0, days: 0, warnings: [] });
  await world.insert([event({ _id: "1", created_at: noon(dateAt(0)) })]);
  expect(await follow(world)).toMatchObject({ events: 0, days: 2, differing: 1, warnings: [{ type: "string" }] });
});

test("ids of both kinds: each event is found its own way", async () => {
  await world.insert([event({ _id: "1", tenant_id: "acme", created_at: noon(dateAt(0)) })]);
  await rebuild(world, { from: dateAt(0), to: dateAt(0) });
  await world.insert([
    event({ _id: "2", tenant_id: "acme", created_at: noon(dateAt(0)) }),
    event({ _id: idAt(-60), tenant_id: "acme", created_at: noon(dateAt(-9)) }),
  ]);
  expect(await follow(world)).toMatchObject({ events: 1, differing: 2 });
  expect(await dirty(world)).toEqual([`acme ${dateAt(-9)}`, `acme ${dateAt(0)}`]);
});

test("every question goes through the index on _id or the one on tenant and date", async () => {
  const now = Date.now();
  await world.insert(Array.from({ length: 2_000 }, (_, n) => event({ _id: idAt(-n, now), tenant_id: `t${n % 50}` })));
  const client = new MongoClient(world.env["MONGODB_URI"] as string, { monitorCommands: true });
  const sent: Record<string, unknown>[] = [];
  client.on("commandStarted", ({ commandName, command }) => {
    const { lsid: _lsid, $db: _db, readConcern: _level, ...plain } = command as Record<string, unknown>;
    if (["find", "aggregate"].includes(commandName)) sent.push(plain);
  });
  try {
    const watched = client.db().collection(world.config.eventsCollection);
    const arrivals = new ArrivalReader(eventsOf(world, watched), ZONE);
    const page = await arrivals.page({ since: now - 100_000 }, dateAt(0), signal, 5);
    await arrivals.page(page.next as NonNullable<typeof page.next>, dateAt(0), signal);
    await arrivals.count("t7", "2026-03-01", { maxTimeMs: 600_000, signal });
    await arrivals.foreignIdType(signal);
    expect(sent.length).toBe(2 + 1 + 7);
    const byIndex = new Map<string, number>();
    for (const command of sent.splice(0)) {
      // What was considered is in the plans as well.
      const plan = JSON.stringify(await client.db().command({ explain: command }), (key, value: unknown) =>
        ["command", "IndexCosts", "rejectedPlans"].includes(key) ? undefined : value,
      );
      expect(plan).not.toMatch(/"(Seq Scan|COLLSCAN)"/);
      const names = new Set(
        [...plan.matchAll(/"(?:Index Name|indexName)":"(\w+)"/g)].map(([, name]) => name as string),
      );
      for (const name of names) byIndex.set(name, (byIndex.get(name) ?? 0) + 1);
    }
    expect(Object.fromEntries(byIndex)).toEqual({ _id_: 9, idx_tenant_date: 1 });
  } finally {
    await client.close();
  }
});
