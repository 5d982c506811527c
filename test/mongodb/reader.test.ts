import { Decimal128, Long, ObjectId } from "mongodb";
import { expect, test } from "vitest";
import { TENANT_DATE_INDEX } from "../../manifests/usage.ts";
import { EventReader, TenantDayError } from "../../src/db/mongo/events.ts";
import { matchRange, packed, plainPipeline, strictPipeline, type TenantRange } from "../../src/db/mongo/pipeline.ts";
import { TenantReader, tenantsPipeline } from "../../src/db/mongo/tenants.ts";
import { dayBounds } from "../../src/usage/day.ts";
import { event, sampleEvents } from "../support/sample.ts";
import { eventsOf } from "../support/event-collection.ts";
import { useMongoWorld } from "../support/mongo-world.ts";
import { multiplied, watchedReader } from "../support/watched-reader.ts";

const DAY = "2026-03-01";
const options = () => ({ maxTimeMs: 600_000, signal: new AbortController().signal });
const at = (day: string, time = "12:00:00") => new Date(`${day}T${time}Z`);

const world = useMongoWorld("reader");

const watched = (change?: Parameters<typeof watchedReader>[1]) => {
  const { read, ...rest } = watchedReader(world, change);
  return { ...rest, read: (tenant: string, day = DAY) => read(tenant, day) };
};

test("the plain and the strict pipeline sum clean days alike", async () => {
  const clean = (day: string) =>
    sampleEvents(60, (n) => ({
      tenant_id: "both",
      user_id: n % 5 === 0 ? new ObjectId("0123456789abcdef01234567") : `u${n % 7}`,
      model: n % 11 === 0 ? undefined : `m${n % 3}`,
      prompt_tokens: Long.fromNumber(10 ** (n % 13)),
      completion_tokens: n,
      total_tokens: 2 * n,
      cost: n % 2 ? Decimal128.fromString(`${n}.000000000000000001`) : n / 7,
      created_at: at(day, `00:00:${String(n).padStart(2, "0")}`),
    }));
  const bad = event({ tenant_id: "both", total_tokens: 1, prompt_tokens: "ten", created_at: at("2026-03-02") });
  await world.insert([...clean(DAY), ...clean("2026-03-02"), bad, ...clean("2026-03-03")]);

  const plain = watched();
  const expected = await plain.read("both");
  expect(plain.sent).toEqual(["plain"]);
  expect(expected.malformed).toBe(0);
  expect(expected.totals.requests).toBe(60);

  const strict = watched();
  const dirty = await strict.read("both", "2026-03-02");
  expect(dirty.malformed).toBe(1);
  expect(dirty.totals.requests).toBe(61);
  expect(await strict.read("both", "2026-03-03")).toEqual(expected);
  expect(strict.sent).toEqual(["plain", "strict", "strict"]);
});

test("a tenant with one bad day is tried plainly again after thirty days", async () => {
  await world.insert([event({ tenant_id: "recovers", cost: "free" })]);
  const { sent, read } = watched();
  await read("recovers");
  for (let day = 1; day <= 31; day++) await read("recovers", `2026-03-${String(day).padStart(2, "0")}`);
  expect(sent.slice(0, 2)).toEqual(["plain", "strict"]);
  expect(sent.slice(2)).toEqual([...Array<string>(30).fill("strict"), "plain"]);
});

test("a day whose groups do not fit into one answer is read in parts, and whole", async () => {
  const long = "x".repeat(100_000);
  // 180 users of 100 kB are 18 MB of groups; the last 20 events are of users that the day began with.
  const start = at(DAY, "00:00:00").getTime();
  const many = sampleEvents(200, (n) => ({
    tenant_id: "wide",
    user_id: `${long}${n % 180}`,
    total_tokens: 15,
    created_at: new Date(start + (n * 86_399_999) / 199),
  }));
  const outside = [start - 1, start + 86_400_000];
  await world.insert([...many, ...outside.map((ms) => event({ tenant_id: "wide", created_at: new Date(ms) }))]);
  const { sent, read } = watched();
  const { totals, rows } = await read("wide");
  expect(sent).toHaveLength(3);
  expect(totals).toMatchObject({ requests: 200, prompt: 2_000, cost: 200n * 10n ** 15n });
  expect(rows).toHaveLength(180);
  expect(rows.filter(({ sums }) => sums.requests === 2)).toHaveLength(20);
});

test("a sum of tokens past 64 bits fails the day, in one group and over groups", async () => {
  const big = Long.fromString("1000000000000");
  const users = (tenant_id: string, ids: string[]) =>
    ids.map((user_id) => event({ tenant_id, user_id, prompt_tokens: big, cost: "bad" }));
  await world.insert([...users("one", ["a", "a"]), ...users("two", ["a", "b"])]);

  const fits = watched(multiplied("4611686"));
  expect((await fits.read("one")).totals.prompt).toBe(9_223_372_000_000_000_000n);
  expect((await fits.read("two")).totals.prompt).toBe(9_223_372_000_000_000_000n);

  const past = watched(multiplied("4611687"));
  await expect(past.read("one")).rejects.toThrow("the sum of prompt tokens is past 64 bits");
  await expect(past.read("two")).rejects.toThrow("the sum of the day's tokens is past 64 bits");
  expect(past.sent).toContain("strict");
});

test("groups of one millisecond that do not fit fail the day, since time cannot part them", async () => {
  const start = at(DAY).getTime();
  const users = ["a", "b"].map((letter) => letter.repeat(8_500_000));
  await world.insert(users.map((user_id) => event({ tenant_id: "crowd", user_id, created_at: new Date(start + 1) })));
  const reader = new EventReader(eventsOf(world));
  const read = reader.readDay("crowd", { start, end: start + 4 }, options());
  await expect(read).rejects.toThrow(new TenantDayError("the groups of one millisecond are too large"));
});

/** The names of all indexes in a plan, and whether a part of it reads the whole collection. */
function planOf(explained: unknown): { indexes: string[]; scans: boolean } {
  const indexes = new Set<string>();
  let scans = false;
  const walk = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    for (const [name, inner] of Object.entries(value)) {
      if ((name === "Index Name" || name === "indexName") && !("indexKey" in value)) indexes.add(String(inner));
      if (inner === "Seq Scan" || inner === "COLLSCAN") scans = true;
      if (name !== "command" && name !== "rejectedPlans") walk(inner);
    }
  };
  walk(explained);
  return { indexes: [...indexes], scans };
}

test("every query on the events goes through the tenant/date index", async () => {
  const fields = world.config.eventsFields;
  await world.insert(
    sampleEvents(3_000, (n) => ({ tenant_id: `plan${n % 100}`, created_at: new Date(at(DAY).getTime() + n) })),
  );
  const hint = TENANT_DATE_INDEX;
  const through = { indexes: [TENANT_DATE_INDEX], scans: false };
  const range = (tenant: string): TenantRange => ({ tenant, ...dayBounds(DAY, "UTC") });
  for (const tenant of ["plan7", "42", "0123456789abcdef01234567"]) {
    for (const pipeline of [plainPipeline, strictPipeline]) {
      const packedPipeline = packed(pipeline(range(tenant), fields));
      const explained = await world.events.aggregate(packedPipeline, { hint, allowDiskUse: true }).explain();
      expect(planOf(explained)).toEqual(through);
    }
    const filter = matchRange(range(tenant), fields);
    const found = await world.events.find(filter, { hint, projection: { _id: 1 }, limit: 1 }).explain();
    expect(planOf(found)).toEqual(through);
  }
  expect(planOf(await world.events.aggregate(tenantsPipeline(fields), { hint }).explain())).toEqual(through);
  // The check itself sees a query that does not.
  expect(planOf(await world.events.find({ model: "gpt-4o" }).explain())).not.toEqual(through);
});

test("the span of a tenant is the first and last day with an event, wherever the search begins", async () => {
  const instants = ["2019-05-05T00:00:00Z", "2022-01-01T10:00:00Z", "2026-02-28T23:59:59.999Z"];
  await world.insert(instants.map((instant) => event({ tenant_id: 4711, created_at: new Date(instant) })));
  const reader = new TenantReader(eventsOf(world), "UTC");
  const { signal } = new AbortController();
  const days = ["2000-01-01", "2019-05-05", "2023-01-01", "2026-11-01"];
  for (const [index, from] of days.entries()) {
    for (const to of days.slice(index)) {
      const whole = { from: "2019-05-05", to: "2026-02-28" };
      const near = { from, to };
      expect(await reader.span("4711", { near, latest: "2026-11-21", known: undefined }, signal)).toEqual(whole);
      const known = { from: from, to: to };
      expect(await reader.span("4711", { near: { from: to, to }, latest: "2026-11-21", known }, signal)).toEqual(whole);
      const shorter = { from: "2019-05-05", to: "2022-01-01" };
      expect(await reader.span("4711", { near, latest: "2026-02-27", known: undefined }, signal)).toEqual(shorter);
    }
  }
  const anywhere = { near: { from: "2026-01-01", to: "2026-01-01" }, latest: "2026-11-21", known: undefined };
  expect(await reader.span("nobody", anywhere, signal)).toBeUndefined();
  expect(await reader.list(signal)).toEqual(expect.arrayContaining(["4711", "wide", "crowd"]));
});
