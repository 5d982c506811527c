import { Binary, Decimal128, Double, Int32, Long, ObjectId, UUID, type Document } from "mongodb";
import { expect, test } from "vitest";
import { InvisibleReader } from "../../src/db/mongo/invisible.ts";
import type { InvisibleCounts } from "../../src/usage/invisible.ts";
import { addDays, dayBounds, dayOf } from "../../src/usage/day.ts";
import { dayStart } from "../support/civil-day.ts";
import { hostileEvents } from "../support/hostile.ts";
import { HOSTILE_TENANTS, INVISIBLE_CREATED_AT, INVISIBLE_TENANTS, MISSING } from "../support/hostile-ids.ts";
import { oracle } from "../support/oracle.ts";
import { event } from "../support/sample.ts";
import { eventsOf } from "../support/event-collection.ts";
import { useMongoWorlds, type MongoWorld } from "../support/mongo-world.ts";

const NONE: InvisibleCounts = {
  tenantMissing: 0,
  tenantType: 0,
  tenantEmpty: 0,
  tenantTooLong: 0,
  tenantHoldsNul: 0,
  createdAtMissing: 0,
  createdAtType: 0,
  dayOutOfRange: 0,
};

const openWorld = useMongoWorlds("invisible");

async function countedBy(world: MongoWorld): Promise<InvisibleCounts> {
  const { timeZone } = world.config;
  const tomorrow = addDays(dayOf(Date.now(), timeZone), 1);
  const visible = { start: dayBounds("2000-01-01", timeZone).start, end: dayBounds(tomorrow, timeZone).end };
  const options = { maxTimeMs: 600_000, signal: new AbortController().signal };
  return new InvisibleReader(eventsOf(world)).count(visible, options);
}

const total = (counts: InvisibleCounts) => Object.values(counts).reduce((sum, n) => sum + n, 0);
const withField = (field: string, value: unknown) => {
  const { [field]: _, ...rest } = event();
  return value === MISSING ? rest : { ...rest, [field]: value };
};

test.each(["UTC", "America/Los_Angeles", "Pacific/Kiritimati"])(
  "in %s as many of hostile events are invisible as the oracle says",
  async (timeZone) => {
    const world = await openWorld({ USAGE_TIMEZONE: timeZone });
    const hostile = [...hostileEvents({ seed: 7, from: "2026-03-01", days: 3, timeZone, perDay: 1_500 })];
    const edges = ["1999-12-31", "2000-01-01"].map((day) =>
      event({ created_at: new Date(dayStart(timeZone, day) + 3_600_000) }),
    );
    const events = [...hostile, ...edges];
    await world.insert(events);
    const { invisible } = oracle(events, { timeZone, now: new Date() });
    expect(invisible).toBeGreaterThan(200);
    const counts = await countedBy(world);
    expect(total(counts)).toBe(invisible);
    for (const [reason, n] of Object.entries(counts)) expect(n, reason).toBeGreaterThan(0);
  },
);

test("every invisible event is counted once, under its first reason", async () => {
  const world = await openWorld();
  await world.insert([
    ...INVISIBLE_TENANTS.map((tenant) => withField("tenant_id", tenant)),
    ...INVISIBLE_CREATED_AT.map((at) => withField("created_at", at)),
    event({ tenant_id: "", created_at: "never" }), // the first reason is its only one
  ]);
  const counts = await countedBy(world);
  // MISSING, null and undefined; of texts one empty, two too long, two with NUL; five dates beyond; the rest other types.
  expect(counts).toEqual({
    tenantMissing: 3,
    tenantEmpty: 2,
    tenantTooLong: 2,
    tenantHoldsNul: 2,
    tenantType: INVISIBLE_TENANTS.length - 8,
    createdAtMissing: 3,
    dayOutOfRange: 5,
    createdAtType: INVISIBLE_CREATED_AT.length - 8,
  });
});

test("a tenant of each type that is an id is visible, up to the ends of what its type may hold", async () => {
  const world = await openWorld();
  const ends = [
    Long.fromString("9223372036854775807"),
    Long.fromString("-9223372036854775808"),
    Decimal128.fromString("9223372036854775807"),
    Decimal128.fromString("-9223372036854775808.0"),
    new Double(-(2 ** 63)),
    new Double(2 ** 63 - 1_024),
    new Int32(-2_147_483_648),
    new UUID("00000000-0000-0000-0000-000000000000"),
    new UUID("ffffffff-ffff-ffff-ffff-ffffffffffff"),
    new ObjectId("000000000000000000000000"),
    "€".repeat(170) + "xx",
  ];
  const visible = [...HOSTILE_TENANTS.flat(), ...ends].map((tenant) => withField("tenant_id", tenant));
  const beyond: unknown[] = [
    new Double(2 ** 63),
    new Double(-(2 ** 63) - 2_048),
    Decimal128.fromString("9223372036854775807.5"),
    new Binary(Buffer.alloc(16, 0xff), 3),
    new Binary(Buffer.alloc(16), 5),
    new Binary(Buffer.alloc(15, 0xff), 4),
    new Binary(Buffer.alloc(17), 4),
  ];
  await world.insert([...visible, ...beyond.map((tenant) => withField("tenant_id", tenant))]);
  expect(oracle(visible, { timeZone: "UTC", now: new Date() }).invisible).toBe(0);
  expect(await countedBy(world)).toEqual({ ...NONE, tenantType: beyond.length });
});

test("an array on the way to a nested field makes its event invisible", async () => {
  const fields = { tenant_id: "org.unit.id", created_at: "meta.at" };
  const world = await openWorld({ EVENTS_FIELDS: JSON.stringify(fields) });
  const { tenant_id: _, created_at: at, ...rest } = event();
  const unit = { id: "one" };
  const events: Document[] = [
    { ...rest, org: { unit }, meta: { at } },
    { ...rest, org: [{ unit }], meta: { at } },
    { ...rest, org: { unit: [unit, { id: "two" }] }, meta: { at } },
    { ...rest, org: { unit: [] }, meta: { at } },
    { ...rest, org: [], meta: { at } },
    { ...rest, org: "one", meta: { at } },
    { ...rest, org: { unit }, meta: [{ at }] },
    { ...rest, org: { unit }, meta: [] },
    { ...rest, org: { unit }, meta: null },
    { ...rest, org: { unit }, meta: { at: [at] } },
  ];
  await world.insert(events);
  const paths = { tenant: fields.tenant_id, createdAt: fields.created_at };
  const said = oracle(events, { timeZone: "UTC", now: new Date(), fields: paths });
  const counts = await countedBy(world);
  expect(counts).toEqual({ ...NONE, tenantType: 4, tenantMissing: 1, createdAtType: 3, createdAtMissing: 1 });
  expect(total(counts)).toBe(said.invisible);
});
