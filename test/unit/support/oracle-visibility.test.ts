import { Binary, BSONSymbol, Decimal128, Double, Long, ObjectId, Timestamp } from "mongodb";
import { describe, expect, test } from "vitest";
import { oracle, type OracleOptions } from "../../support/oracle.ts";
import { event, type SampleEvent } from "../../support/sample.ts";

const OPTIONS: OracleOptions = { timeZone: "UTC", now: new Date("2026-03-10T12:00:00Z") };
const HEX = "65f0c0ffee65f0c0ffee65f0";

const decimal = (text: string): Decimal128 => Decimal128.fromString(text);
const double = (value: number): Double => new Double(value);

describe("tenants and days", () => {
  const keysOf = (events: SampleEvent[], options: Partial<OracleOptions> = {}): string[] => [
    ...oracle(events, { ...OPTIONS, ...options }).days.keys(),
  ];

  test("takes ids of different type and equal text as one tenant", () => {
    const ids = ["42", 42, double(42), Long.fromNumber(42), decimal("42.0"), HEX, new ObjectId(HEX)];
    expect(keysOf(ids.map((tenant_id) => event({ tenant_id })))).toEqual(["42|2026-03-01", `${HEX}|2026-03-01`]);
  });

  test("cannot see events without a proper tenant", () => {
    const none = [undefined, null, "", "x".repeat(513), "€".repeat(171), "a\0", ["acme"], [], true, {}, 1.5, NaN];
    const others = [double(2 ** 63), decimal("9223372036854775808"), new BSONSymbol("acme"), new Date(), /acme/];
    const all = [...none, ...others, new Binary(Buffer.from("acme")), new Binary(Buffer.alloc(3), 4)];
    const { days, invisible } = oracle(
      all.map((tenant_id) => event({ tenant_id })),
      OPTIONS,
    );
    expect([days.size, invisible]).toEqual([0, all.length]);
    expect(keysOf([event({ tenant_id: "x".repeat(512) }), event({ tenant_id: "€".repeat(170) })])).toHaveLength(2);
  });

  test("cannot see events without a proper time", () => {
    const at = new Date("2026-03-01T12:00:00Z");
    const none = [undefined, null, at.toISOString(), at.getTime(), Timestamp.fromBits(1, 1_772_366_400), [at], [], {}];
    const out = [new Date(NaN), new Date(0), new Date("1999-12-31T23:59:59.999Z"), new Date("2026-03-12"), 8.64e15];
    const all = [...none, ...out.map((value) => new Date(value)), new Date(-8.64e15)];
    const { days, invisible } = oracle(
      all.map((created_at) => event({ created_at })),
      OPTIONS,
    );
    expect([days.size, invisible]).toEqual([0, all.length]);
    const edges = ["2000-01-01T00:00:00Z", "2026-03-11T23:59:59.999Z"].map((text) => new Date(text));
    expect(keysOf(edges.map((created_at) => event({ created_at })))).toEqual(["acme|2000-01-01", "acme|2026-03-11"]);
  });

  test.each([
    ["Europe/Berlin", "2026-03-28T22:59:59.999Z", "2026-03-28"],
    ["Europe/Berlin", "2026-03-28T23:00:00.000Z", "2026-03-29"],
    ["Europe/Berlin", "2026-03-29T21:59:59.999Z", "2026-03-29"],
    ["Europe/Berlin", "2026-03-29T22:00:00.000Z", "2026-03-30"],
    ["America/Los_Angeles", "2025-11-02T06:59:59.999Z", "2025-11-01"],
    ["America/Los_Angeles", "2025-11-02T07:00:00.000Z", "2025-11-02"],
    ["America/Los_Angeles", "2025-11-03T07:59:59.999Z", "2025-11-02"],
    ["America/Los_Angeles", "2025-11-03T08:00:00.000Z", "2025-11-03"],
    ["America/Los_Angeles", "2000-01-01T08:00:00.000Z", "2000-01-01"],
  ])("in %s %s is of %s", (timeZone, instant, date) => {
    const now = new Date("2026-12-31T00:00:00Z");
    expect(keysOf([event({ created_at: new Date(instant) })], { timeZone, now })).toEqual([`acme|${date}`]);
  });

  test("takes tomorrow and the first day from the zone", () => {
    const timeZone = "America/Los_Angeles";
    const now = new Date("2026-03-10T06:59:00Z"); // still the 9th there, the 10th in UTC
    const seen = ["2026-03-11T06:59:59.999Z", "2026-03-11T07:00:00Z", "2000-01-01T07:59:59.999Z"].map((text) =>
      oracle([event({ created_at: new Date(text) })], { timeZone, now }),
    );
    expect(seen.map(({ invisible }) => invisible)).toEqual([0, 1, 1]);
  });
});
