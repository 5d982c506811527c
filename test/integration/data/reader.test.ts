import { Decimal128, Long, ObjectId, type Document } from "mongodb";
import { expect, test } from "vitest";
import { TENANT_DATE_INDEX } from "../../../manifests/usage.ts";
import { EventReader, TenantDayError } from "../../../src/db/mongo/events.ts";
import { matchRange, packed, plainPipeline, strictPipeline, type TenantRange } from "../../../src/db/mongo/pipeline.ts";
import { TenantReader, tenantsPipeline } from "../../../src/db/mongo/tenants.ts";
import { Services } from "../../../src/services.ts";
import { dayBounds } from "../../../src/usage/day.ts";
import type { Rollup } from "../../../src/usage/rollup.ts";
import { rebuild } from "../../support/rebuild.ts";
import { event, sampleEvents } from "../../support/sample.ts";
import { storedRows } from "../../support/stored-rows.ts";
import { eventsOf } from "../../support/event-collection.ts";
import { useWorld } from "../../support/world.ts";

const DAY = "2026-03-01";
const options = () => ({ maxTimeMs: 600_000, signal: new AbortController().signal });
const at = (day: string, time = "12:00:00") => new Date(`${day}T${time}Z`);

const world = useWorld("reader");

/** Only the strict pipeline counts the malformed. */
const isStrictGroup = (stage: Document) => "malformed" in ((stage["$group"] ?? {}) as Document);

/** A reader, and which pipelines it has sent. */
function watchedReader(change: (pipeline: Document[]) => Document[] = (pipeline) => pipeline) {
  const sent: ("plain" | "strict")[] = [];
  const collection = new Proxy(world.events, {
    get(target, name) {
      if (name !== "aggregate") return Reflect.get(target, name, target) as unknown;
      return (pipeline: Document[], settings: object) => {
        sent.push(pipeline.some(isStrictGroup) ? "strict" : "plain");
        return target.aggregate(change(pipeline), settings);
      };
    },
  });
  const reader = new EventReader(eventsOf(world, collection));
  return {
    reader,
    sent,
    read: (tenant: string, day = DAY): Promise<Rollup> => reader.readDay(tenant, dayBounds(day, "UTC"), options()),
  };
}

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

  const plain = watchedReader();
  const expected = await plain.read("both");
  expect(plain.sent).toEqual(["plain"]);
  expect(expected.malformed).toBe(0);
  expect(expected.totals.requests).toBe(60);

  const strict = watchedReader();
  const dirty = await strict.read("both", "2026-03-02");
  expect(dirty.malformed).toBe(1);
  expect(dirty.totals.requests).toBe(61);
  expect(await strict.read("both", "2026-03-03")).toEqual(expected);
  expect(strict.sent).toEqual(["plain", "strict", "strict"]);
});

test("a tenant with one bad day is tried plainly again after thirty days", async () => {
  await world.insert([event({ tenant_id: "recovers", cost: "free" })]);
  const { sent, read } = watchedReader();
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
  const { sent, read } = watchedReader();
  const { totals, rows } = await read("wide");
  expect(sent).toHaveLength(3);
  expect(totals).toMatchObject({ requests: 200, prompt: 2_000, cost: 200n * 10n ** 15n });
  expect(rows).toHaveLength(180);
  expect(rows.filter(({ sums }) => sums.requests === 2)).toHaveLength(20);
});

/** Makes each event of the strict pipeline count as many, on the server: nobody inserts ten million events here. */
function multiplied(factor: string) {
  return (pipeline: Document[]): Document[] =>
    pipeline.map((stage) => {
      if (!isStrictGroup(stage)) return stage;
      const group = stage["$group"] as Record<string, { $sum: unknown }>;
      return {
        $group: { ...group, prompt: { $sum: { $multiply: [group["prompt"]?.$sum, Long.fromString(factor)] } } },
      };
    });
}

test("a sum of tokens past 64 bits fails the day, in one group and over groups", async () => {
  const big = Long.fromString("1000000000000");
  const users = (tenant_id: string, ids: string[]) =>
    ids.map((user_id) => event({ tenant_id, user_id, prompt_tokens: big, cost: "bad" }));
  await world.insert([...users("one", ["a", "a"]), ...users("two", ["a", "b"])]);

  const fits = watchedReader(multiplied("4611686"));
  expect((await fits.read("one")).totals.prompt).toBe(9_223_372_000_000_000_000n);
  expect((await fits.read("two")).totals.prompt).toBe(9_223_372_000_000_000_000n);

  const past = watchedReader(multiplied("4611687"));
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

test("a day that cannot be summed fails alone: the others of its chunk are stored, it is dirty and listed", async () => {
  const day = (n: number, differs: Document) =>
    event({ tenant_id: "past", created_at: at(`2026-04-0${n}`), ...differs });
  await world.insert([day(1, {}), day(2, { prompt_tokens: 1e12 }), day(2, { prompt_tokens: 1e12 }), day(3, {})]);
  const source = await world.services.source();
  const honest = source.events;
  const rebuildPast = () => rebuild(world, { from: "2026-04-01", to: "2026-04-03", tenants: ["past"] });

  Object.assign(source, { events: watchedReader(multiplied("4611687")).reader });
  const run = await rebuildPast().finally(() => Object.assign(source, { events: honest }));
  expect(run).toMatchObject({
    state: "failed",
    error: "0 chunks and 1 tenant-days failed",
    chunks: { planned: 1, done: 1, failed: 0 },
    days: { planned: 3, written: 2, unchanged: 0, stale: 0, refused: 0, failed: 1 },
    sourceEvents: 2,
  });
  expect([...(await storedRows(world.pool)).keys()]).toEqual(["past|2026-04-01", "past|2026-04-03"]);
  const dirty = await world.pool.query(
    "SELECT tenant_id, date::text, not_before > found_at + interval '14 minutes' AS waits FROM usage_dirty",
  );
  expect(dirty.rows).toEqual([{ tenant_id: "past", date: "2026-04-02", waits: true }]);
  const error = "the sum of prompt tokens is past 64 bits";
  expect(await (await world.services.runs()).problems(run.id)).toEqual([
    {
      number: 0,
      state: "done",
      error: null,
      failedDays: [{ tenant: "past", date: "2026-04-02", error }],
      refusedDays: [],
    },
  ]);

  // Without the multiplication all three are other numbers than before.
  expect(await rebuildPast()).toMatchObject({ state: "done", days: { failed: 0 } });
  expect((await world.pool.query("SELECT 1 FROM usage_dirty")).rows).toEqual([]);
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

test("many tenants asked about at once leave no warning of a leak", async () => {
  const warnings: string[] = [];
  const collect = (warning: Error) => warnings.push(warning.name);
  // A process that has just started: its first queries wait for connections, and listen there too.
  const services = new Services(world.config, world.services.log);
  process.on("warning", collect);
  try {
    const tenants = Array.from({ length: 100 }, (_, n) => `plan${n}`);
    await rebuild({ ...world, services }, { from: DAY, to: DAY, tenants });
  } finally {
    process.off("warning", collect);
    await services.close();
  }
  expect(warnings).toEqual([]);
});
