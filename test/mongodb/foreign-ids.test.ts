import { Binary, Decimal128, Double, Int32, Long, ObjectId, Timestamp, UUID } from "mongodb";
import { beforeEach, describe, expect, test } from "vitest";
import { ArrivalReader } from "../../src/db/mongo/arrivals.ts";
import { eventsOf } from "../support/event-collection.ts";
import { useMongoWorld } from "../support/mongo-world.ts";
import { event } from "../support/sample.ts";

const world = useMongoWorld("foreign");
beforeEach(async () => {
  await world.events.deleteMany({});
});

const { signal } = new AbortController();

describe("an id that is no ObjectId is noticed by its type", () => {
  test.each([
    ["string", new UUID().toString()],
    ["string", ""],
    ["number", new Int32(7)],
    ["number", Long.fromString("-9223372036854775808")],
    ["number", new Double(-0.5)],
    ["number", Decimal128.fromString("1E+6144")],
    ["binary", new UUID()],
    ["binary", new Binary(Buffer.alloc(0), 0)],
    ["object", { tenant: "acme", n: 1 }],
    ["object", {}],
    ["date", new Date(-8.64e15)],
    ["timestamp", Timestamp.fromBits(0, 1)],
    ["boolean", false],
  ])("%s: %j", async (type, _id) => {
    const arrivals = new ArrivalReader(eventsOf(world), "UTC");
    await world.insert([event({ _id: new ObjectId("0".repeat(24)) }), event({ _id: new ObjectId("f".repeat(24)) })]);
    expect(await arrivals.foreignIdType(signal)).toBeUndefined();
    await world.insert([event({ _id })]);
    expect(await arrivals.foreignIdType(signal)).toBe(type);
  });
});
