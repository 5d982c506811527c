import { MongoServerError, type Document } from "mongodb";
import { beforeAll, expect, test } from "vitest";
import { EventReader, TenantDayError } from "../../src/db/mongo/events.ts";
import { dayBounds } from "../../src/usage/day.ts";
import { toDocuments } from "../../src/usage/document.ts";
import type { Rollup } from "../../src/usage/rollup.ts";
import { hostileEvents } from "../support/hostile.ts";
import { oracle } from "../support/oracle.ts";
import { sampleEvents } from "../support/sample.ts";
import { eventsOf } from "../support/event-collection.ts";
import { useMongoWorld } from "../support/mongo-world.ts";

const DAY = "2026-03-29"; // 23 hours in Berlin
const ZONE = "Europe/Berlin";
const MILLION = 1_000_000;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

const world = useMongoWorld("slices", { USAGE_TIMEZONE: ZONE });
let tenants: string[];
beforeAll(async () => {
  const events = [...hostileEvents({ seed: 7, from: DAY, days: 1, timeZone: ZONE, perDay: 1_500 })];
  const crowd = sampleEvents(4_000, (n) => ({
    tenant_id: "crowd",
    user_id: `user-${n % 900}`,
    prompt_tokens: n,
    cost: n / 7,
    created_at: new Date(dayBounds(DAY, ZONE).start + n * 20_000),
  }));
  await world.insert(events);
  await world.insert(crowd);
  const { days } = oracle(events, { timeZone: ZONE, now: new Date(dayBounds(DAY, ZONE).end) });
  tenants = [...[...days.values()].filter(({ date }) => date === DAY).map(({ tenant }) => tenant), "crowd"];
});

/** Each event of a day beside each event of the collection: no server is through with it within a millisecond. */
const endless = (): Document[] => [
  { $lookup: { from: world.events.collectionName, pipeline: [], as: "each" } },
  { $unwind: "$each" },
  { $count: "pairs" },
];

/** The server is asked for endless work within a millisecond, and says that its time is up. */
const late = () => world.events.aggregate(endless(), { maxTimeMS: 1 });

/** What a server says whose answer, or what it needs for it, is too large, or of a mongos whose shard is late. */
const refusing = (code: number) => () => ({
  toArray: () => Promise.reject(new MongoServerError({ message: `refused with ${code}`, code })),
});

/** A reader that notes which slices it asks for; those longer than it may answer are refused. */
function watchedReader(longestMs = Infinity, refuse: () => object = late) {
  const slices: { start: number; end: number }[] = [];
  const collection = new Proxy(world.events, {
    get(target, name) {
      if (name !== "aggregate") return Reflect.get(target, name, target) as unknown;
      return (pipeline: Document[], settings: object) => {
        const { $gte, $lt } = (pipeline[0]?.["$match"] as { created_at: { $gte: Date; $lt: Date } }).created_at;
        slices.push({ start: $gte.getTime(), end: $lt.getTime() });
        const isTooLong = $lt.getTime() - $gte.getTime() > longestMs;
        return isTooLong ? refuse() : target.aggregate(pipeline, settings);
      };
    },
  });
  const reader = new EventReader(eventsOf(world, collection));
  const signal = new AbortController().signal;
  const read = (tenant: string, expected?: number, bounds = dayBounds(DAY, ZONE), onRead?: () => void) =>
    reader.readDay(tenant, bounds, { maxTimeMs: 600_000, signal, expected, onRead });
  return { slices, read };
}

const hashOf = (rollup: Rollup) => {
  const limits = { maxKeys: 50_000, maxRawRows: 200_000, maxBytes: 16 * 1024 * 1024 };
  return toDocuments(rollup, limits).contentHash.toString("hex");
};

/** The distinct ranges, in their order: a slice that is not plain is asked for twice. */
const distinct = (slices: readonly { start: number; end: number }[]) =>
  slices.filter(({ start, end }, n) => slices.findIndex((other) => other.start === start && other.end === end) === n);

test("a day read in slices has the content of the day read whole, whatever its events hold", async () => {
  expect(tenants.length).toBeGreaterThan(10);
  for (const tenant of tenants) {
    const whole = await watchedReader().read(tenant);
    expect(whole.totals.requests, tenant).toBeGreaterThan(0);
    for (const slices of [2, 7]) {
      const sliced = await watchedReader().read(tenant, slices * 2 * MILLION);
      expect(hashOf(sliced), `${tenant} in ${slices} slices`).toBe(hashOf(whole));
    }
  }
});

test("a day of which many events are expected begins in slices that follow each other and make up the day", async () => {
  const { slices, read } = watchedReader();
  await read("crowd", 2 * MILLION);
  expect(distinct(slices)).toHaveLength(1);
  slices.length = 0;
  await read("crowd", 9 * MILLION);
  const asked = distinct(slices);
  expect(asked).toHaveLength(5);
  const { start, end } = dayBounds(DAY, ZONE);
  expect(end - start).toBe(23 * HOUR);
  expect(asked.map((slice) => slice.start)).toEqual([start, ...asked.slice(0, -1).map((slice) => slice.end)]);
  expect(asked.at(-1)?.end).toBe(end);
});

test("a slice that takes too long is halved, and the tenant's next day begins in slices of that length", async () => {
  const whole = hashOf(await watchedReader().read("crowd"));
  const { slices, read } = watchedReader(6 * HOUR);
  expect(hashOf(await read("crowd"))).toBe(whole);
  const lengths = distinct(slices).map(({ start, end }) => (end - start) / HOUR);
  expect(lengths).toEqual([23, 11.5, 5.75, 5.75, 11.5, 5.75, 5.75]);
  slices.length = 0;
  expect(hashOf(await read("crowd"))).toBe(whole);
  expect(distinct(slices).map(({ start, end }) => (end - start) / HOUR)).toEqual([5.75, 5.75, 5.75, 5.75]);
});

test.each([50, 202, 262, 407, 10_334, 146, 292, 13_548, 4_031_700])(
  "a slice that is refused with %i is halved until it is small enough",
  async (code) => {
    const whole = hashOf(await watchedReader().read("crowd"));
    const { slices, read } = watchedReader(12 * HOUR, refusing(code));
    expect(hashOf(await read("crowd"))).toBe(whole);
    expect(distinct(slices).map(({ start, end }) => (end - start) / HOUR)).toEqual([23, 11.5, 11.5]);
  },
);

test.each([13, 26, 175, 11_600])("a slice that is refused with %i, whatever its length, is an error", async (code) => {
  await expect(watchedReader(12 * HOUR, refusing(code)).read("crowd")).rejects.toThrow(`refused with ${code}`);
});

test("each aggregation of a large day is a sign that its read gets on, also one that took too long", async () => {
  let signs = 0;
  const { slices, read } = watchedReader(6 * HOUR);
  await read("crowd", undefined, dayBounds(DAY, ZONE), () => signs++);
  expect(slices.length).toBeGreaterThanOrEqual(7);
  expect(signs).toBe(slices.length);
});

test("a slice of few minutes that takes too long fails the day and is not halved", async () => {
  const { slices, read } = watchedReader(MINUTE);
  await expect(read("crowd")).rejects.toThrow(TenantDayError);
  const lengths = distinct(slices).map(({ start, end }) => (end - start) / MINUTE);
  expect(Math.min(...lengths)).toBeGreaterThan(5);
  expect(Math.min(...lengths)).toBeLessThanOrEqual(10);
  expect(lengths.length).toBeLessThan(10); // the first failing slice ends the read
});
