import { MongoServerError, type Collection, type Document } from "mongodb";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ArrivalReader } from "../../../src/db/mongo/arrivals.ts";
import { EventCollection } from "../../../src/db/mongo/event-collection.ts";
import { EventReader } from "../../../src/db/mongo/events.ts";
import { InvisibleReader } from "../../../src/db/mongo/invisible.ts";
import { TenantReader } from "../../../src/db/mongo/tenants.ts";
import { TotalsReader } from "../../../src/db/mongo/totals.ts";
import { recently } from "../../../src/recently.ts";
import { dayBounds } from "../../../src/usage/day.ts";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { useWorld } from "../../support/world.ts";

const KEYS = { tenant_id: 1, created_at: -1 } as const;
const DAY = "2026-03-01";
const signal = new AbortController().signal;
const options = { maxTimeMs: 600_000, signal };

const world = useWorld("event_collection");
beforeEach(async () => {
  await world.reset();
  await world.events.dropIndexes();
  await world.events.createIndex(KEYS, { name: "idx_tenant_date" });
  await world.insert(daysOfEvents("acme", DAY, 3, 4));
});
afterEach(() => world.reset());

/** Finds the index with the keys, over all events, keeps its name for a while, and notes how it was asked. */
function finder(keptMs = 600_000) {
  const asked: (string | undefined)[] = [];
  const look = recently(keptMs, async () => {
    const indexes = await world.events.indexes();
    return indexes.find(({ key, partialFilterExpression: part }) => "created_at" in key && !part)?.name;
  });
  const find = (when?: "now") => {
    asked.push(when);
    return look(when);
  };
  return { asked, find };
}

const readDay = (events: EventCollection) => new EventReader(events).readDay("acme", dayBounds(DAY, "UTC"), options);

describe("a hint", () => {
  test("by key pattern is refused where another index has the same keys, by name it is taken", async () => {
    const late = { created_at: { $gte: new Date("2026-03-02") } };
    await world.events.createIndex(KEYS, { name: "idx_tenant_date_recent", partialFilterExpression: late });
    await expect(world.events.find({ tenant_id: "acme" }, { hint: KEYS }).toArray()).rejects.toThrow(/hint/);
    const { find, asked } = finder();
    const events = new EventCollection(world.events, world.config.eventsFields, find);
    expect((await readDay(events)).totals.requests).toBe(4);
    expect(await new TenantReader(events, "UTC").list(signal)).toEqual(["acme"]);
    expect(await new ArrivalReader(events, "UTC").count("acme", DAY, options)).toBe(4n);
    expect(asked).not.toContain("now");
  });

  test("follows an index that was replaced by one of another name", async () => {
    const { find, asked } = finder();
    const events = new EventCollection(world.events, world.config.eventsFields, find);
    await readDay(events);
    await world.events.dropIndex("idx_tenant_date");
    await world.events.createIndex(KEYS, { name: "idx_tenant_date__a1b2c3" });
    const tenants = new TenantReader(events, "UTC");
    const reads = [readDay(events), readDay(events), tenants.hasEvents(["acme"], DAY, DAY, signal)] as const;
    expect(await Promise.all(reads)).toMatchObject([{ totals: { requests: 4 } }, { totals: { requests: 4 } }, true]);
    expect(asked.filter((when) => when === "now")).toHaveLength(1); // once for all three
  });

  test("follows an index whose name now belongs to one that lacks events", async () => {
    const events = new EventCollection(world.events, world.config.eventsFields, finder(0).find);
    await readDay(events);
    await world.events.dropIndex("idx_tenant_date");
    const late = { created_at: { $gte: new Date("2026-03-02") } };
    await world.events.createIndex(KEYS, { name: "idx_tenant_date", partialFilterExpression: late });
    await world.events.createIndex(KEYS, { name: "idx_whole" });
    expect((await readDay(events)).totals.requests).toBe(4); // the server obeys the hint, and the partial one holds none
  });

  test("that the server refuses although the index is listed says what it may be", async () => {
    const events = new EventCollection(world.events, world.config.eventsFields, () => Promise.resolve("half_built"));
    await expect(readDay(events)).rejects.toThrow(
      /^MongoDB does not read token_usage_events through its index half_built: .* still being built; look with: tallyman indexes check$/,
    );
  });

  test("is never left out: where no index is known, nothing is read", async () => {
    const events = new EventCollection(world.events, world.config.eventsFields, () => Promise.resolve(undefined));
    await expect(readDay(events)).rejects.toThrow("no index of token_usage_events is known to read through");
  });
});

/**
 * The collection as a server that knows collations has it: it says so in `buildInfo`, and takes the one option that the
 * server here refuses. Notes the options of every read.
 */
function collated(seen: { method: string; settings: Document }[]): Collection {
  return new Proxy(world.events, {
    get(target, name) {
      if (name === "db") {
        return new Proxy(target.db, {
          get: (db, member) => (member === "command" ? commandOf(db) : (Reflect.get(db, member, db) as unknown)),
        });
      }
      const member = Reflect.get(target, name, target) as unknown;
      if (typeof member !== "function" || !["aggregate", "find", "findOne"].includes(String(name))) return member;
      return (query: unknown, { collation, ...settings }: Document) => {
        seen.push({ method: String(name), settings: { ...settings, collation: collation as unknown } });
        return (member as (...all: unknown[]) => unknown).call(target, query, settings);
      };
    },
  });
}

function commandOf(db: Collection["db"]) {
  return async (command: Document, ...rest: []) => {
    const answer = await db.command(command, ...rest);
    if (!("buildInfo" in command)) return answer;
    const { ferretdb: _, ...mongod } = answer;
    return mongod;
  };
}

test("every read names an index, the simple collation and the majority, and a comment", async () => {
  const seen: { method: string; settings: Document }[] = [];
  const events = new EventCollection(collated(seen), world.config.eventsFields, finder().find);
  const visible = { start: 0, end: Date.now() };
  const tenants = new TenantReader(events, "UTC");
  const arrivals = new ArrivalReader(events, "UTC");
  const invisible = new InvisibleReader(events);
  const range = { tenant: "acme", ...dayBounds(DAY, "UTC") };
  const reader = new EventReader(events);
  const READS = {
    EventReader: {
      readDay: () => readDay(events),
      locateMalformed: () => reader.locateMalformed("acme", dayBounds(DAY, "UTC"), options),
    },
    TotalsReader: { readTotals: () => new TotalsReader(events).readTotals(range, options) },
    InvisibleReader: {
      count: () => invisible.count(visible, options),
      sample: () => invisible.sample({ which: "newest" }, visible, options),
      fieldNames: () => invisible.fieldNames(options),
    },
    ArrivalReader: {
      page: () => arrivals.page({ since: 0 }, DAY, signal),
      count: () => arrivals.count("acme", DAY, options),
      foreignIdType: () => arrivals.foreignIdType(signal),
    },
    TenantReader: {
      list: () => tenants.list(signal),
      span: () => tenants.span("acme", { near: { from: DAY, to: DAY }, latest: DAY, known: undefined }, signal),
      firstBefore: () => tenants.firstBefore("acme", "2026-03-03", signal),
      hasEvents: () => tenants.hasEvents(["acme"], DAY, DAY, signal),
      spansWithin: () => tenants.spansWithin(["acme"], DAY, DAY, signal),
    },
  };
  /** Methods that send no query over events: the collection's own figures, and the answer of `hello`. */
  const NO_QUERY = ["estimatedEvents", "majority"];
  for (const of of [EventReader, TotalsReader, InvisibleReader, ArrivalReader, TenantReader]) {
    const reads = READS[of.name as keyof typeof READS] as Record<string, () => Promise<unknown>>;
    const methods = Object.entries(Object.getOwnPropertyDescriptors(of.prototype))
      .filter(([name, { value }]) => name !== "constructor" && typeof value === "function")
      .map(([name]) => name);
    expect(Object.keys(reads).toSorted(), of.name).toEqual(
      methods.filter((name) => !NO_QUERY.includes(name)).toSorted(),
    );
    for (const [name, read] of Object.entries(reads)) {
      seen.length = 0;
      await read();
      expect(seen.length, name).toBeGreaterThan(0);
      for (const { settings } of seen) {
        expect(["idx_tenant_date", { _id: 1 }], name).toContainEqual(settings["hint"]);
        expect(settings, name).toMatchObject({ collation: { locale: "simple" }, readConcern: { level: "majority" } });
        expect(settings["comment"], name).toMatch(/^tallyman/);
        expect(settings, name).not.toHaveProperty("readPreference"); // the client's
      }
    }
  }
});

test("a read that takes too long says where arrays have made the index useless", async () => {
  const scan = {
    stage: "IXSCAN",
    indexName: "idx_tenant_date",
    isMultiKey: true,
    multiKeyPaths: { tenant_id: [], created_at: ["created_at"] },
  };
  const explained = { queryPlanner: { winningPlan: { stage: "FETCH", inputStage: scan } } };
  const timeIsUp = new MongoServerError({ message: "operation exceeded time limit", code: 50 });
  const late = new Proxy(world.events, {
    get(target, name) {
      if (name === "find") return () => ({ explain: () => Promise.resolve(explained) });
      if (name === "aggregate") return () => ({ toArray: () => Promise.reject(timeIsUp) });
      return Reflect.get(target, name, target) as unknown;
    },
  });
  const events = new EventCollection(late, world.config.eventsFields, finder().find);
  await expect(readDay(events)).rejects.toThrow(
    /^the read took longer than 600000 ms: an event has or had an array in created_at, .* the index idx_tenant_date .* build the index anew/,
  );
  const totals = new TotalsReader(events).readTotals({ tenant: "acme", ...dayBounds(DAY, "UTC") }, options);
  await expect(totals).rejects.toThrow(/an array in created_at/);
});

test("the server here tells of an array in an indexed field, even of one that is gone", async () => {
  const events = new EventCollection(world.events, world.config.eventsFields, finder().find);
  expect(await events.slowness(signal)).toBeUndefined();
  await world.insert([{ tenant_id: "acme", created_at: [new Date(0), new Date()] }]);
  await world.events.deleteMany({ created_at: { $type: "array" } });
  expect(await events.slowness(signal)).toMatch(/^an event has or had an array in tenant_id, created_at, /);
});
