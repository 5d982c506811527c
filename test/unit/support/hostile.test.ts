import { BSON } from "mongodb";
import { describe, expect, test } from "vitest";
import { addDays, dayStart } from "../../support/civil-day.ts";
import * as ids from "../../support/hostile-ids.ts";
import * as measured from "../../support/hostile-measures.ts";
import { hostileEvents, hugeEvents, type HostileOptions } from "../../support/hostile.ts";
import { oracle } from "../../support/oracle.ts";
import { deck, mulberry32 } from "../../support/random.ts";
import { event, sampleEvents } from "../../support/sample.ts";

/** Three days around the clock change. */
const OPTIONS: HostileOptions = { seed: 1, from: "2026-03-28", days: 3, timeZone: "Europe/Berlin", perDay: 500 };
const NOW = new Date("2026-04-01T00:00:00Z");

const bytes = (document: Record<string, unknown>): Uint8Array => BSON.serialize(document, { ignoreUndefined: false });
const stream = (options: HostileOptions): string =>
  Buffer.concat([...hostileEvents(options)].map(bytes)).toString("base64");

describe("hostile events", () => {
  test("are the same for the same seed only", () => {
    const first = stream(OPTIONS);
    expect(stream(OPTIONS) === first).toBe(true);
    expect(stream({ ...OPTIONS, seed: 2 }) === first).toBe(false);
  });

  test("mean the same to the oracle before and after BSON", () => {
    const events = [...hostileEvents(OPTIONS)];
    const read = events.map((one) => BSON.deserialize(bytes(one), { promoteValues: false }));
    const options = { timeZone: OPTIONS.timeZone, now: NOW };
    expect(oracle(read, options)).toEqual(oracle(events, options));
  });

  test("give every tenant each day, its exact edges included, and nothing outside", () => {
    const { days, invisible } = oracle(hostileEvents(OPTIONS), { timeZone: OPTIONS.timeZone, now: NOW });
    const dates = [0, 1, 2].map((number) => addDays(OPTIONS.from, number));
    const tenants = ids.HOSTILE_TENANTS.length + ids.CLEAN_TENANTS.length;
    expect(days.size).toBe(3 * tenants);
    expect(new Set([...days.values()].map(({ date }) => date))).toEqual(new Set(dates));
    const sources = [...days.values()].reduce((sum, { sourceEvents }) => sum + Number(sourceEvents), invisible);
    expect(sources).toBe(3 * (OPTIONS.perDay + 2 * tenants));
    expect(invisible).toBeGreaterThan(30);

    const instants = [...hostileEvents(OPTIONS)].map(({ created_at }) => Number(created_at));
    const count = (instant: number): number => instants.filter((one) => one === instant).length;
    for (const date of dates) {
      expect(count(dayStart(OPTIONS.timeZone, date))).toBeGreaterThanOrEqual(tenants);
      expect(count(dayStart(OPTIONS.timeZone, addDays(date, 1)) - 1)).toBeGreaterThanOrEqual(tenants);
    }
  });

  test("meet every value of the catalogues on a day of 1,500", () => {
    const events = [...hostileEvents({ ...OPTIONS, days: 1, perDay: 1500 })];
    const catalogues: Record<string, readonly unknown[]> = {
      tenant_id: [...ids.HOSTILE_TENANTS, ...ids.CLEAN_TENANTS].flat().concat(ids.INVISIBLE_TENANTS),
      user_id: [...ids.USERS, ...ids.ARRAY_USERS],
      model: ids.MODELS,
      provider: ids.MODELS,
      prompt_tokens: measured.TOKENS,
      completion_tokens: measured.TOKENS,
      total_tokens: measured.TOKENS,
      cost: measured.COSTS,
      created_at: ids.INVISIBLE_CREATED_AT,
    };
    for (const [field, catalogue] of Object.entries(catalogues)) {
      const met = new Set(events.map((one) => (field in one ? one[field] : ids.MISSING)));
      expect({ field, unmet: catalogue.filter((value) => !met.has(value)) }).toEqual({ field, unmet: [] });
    }
  });

  test("are clean where asked for: integers and Decimal128, nothing malformed or invisible", () => {
    const clean = [...hostileEvents({ ...OPTIONS, kinds: "clean" })];
    const { days, invisible } = oracle(clean, { timeZone: OPTIONS.timeZone, now: NOW });
    expect([days.size, invisible]).toEqual([3 * ids.CLEAN_TENANTS.length, 0]);
    expect([...days.values()].filter(({ malformed }) => malformed > 0n)).toEqual([]);
    const types = clean.flatMap((one) =>
      ["prompt_tokens", "completion_tokens", "total_tokens", "cost"].map(
        (field) => (one[field] as { _bsontype?: string } | null | undefined)?._bsontype,
      ),
    );
    expect(new Set(types)).toEqual(new Set(["Int32", "Long", "Decimal128", undefined]));
  });

  test("of both kinds have tenant-days with and without malformed events", () => {
    const { days } = oracle(hostileEvents(OPTIONS), { timeZone: OPTIONS.timeZone, now: NOW });
    const malformed = [...days.values()].filter((day) => day.malformed > 0n).length;
    expect(malformed).toBe(3 * ids.HOSTILE_TENANTS.length);
    const hostile = oracle(hostileEvents({ ...OPTIONS, kinds: "hostile" }), { timeZone: "Europe/Berlin", now: NOW });
    expect(hostile.days.size).toBe(malformed);
  });

  test("never have two arrays in the key of an index", () => {
    for (const one of hostileEvents(OPTIONS)) {
      expect([one["tenant_id"], one["user_id"], one["created_at"]].filter(Array.isArray).length).toBeLessThan(2);
    }
  });

  test("have no day that the zone skipped", () => {
    const events = hostileEvents({ ...OPTIONS, timeZone: "Pacific/Apia", from: "2011-12-29", perDay: 20 });
    const { days } = oracle(events, { timeZone: "Pacific/Apia", now: NOW });
    const dates = [...days.values()].map(({ date }) => date);
    expect([...new Set(dates)].sort()).toEqual(["2011-12-29", "2011-12-31"]);
  });
});

describe("huge events", () => {
  test.each(["clean", "hostile"] as const)("(%s) pass 2^53 in every sum, and keep cost below 10^16", (kind) => {
    const events = hugeEvents({ day: "2026-03-29", timeZone: "Europe/Berlin", kind });
    const { days } = oracle(events, { timeZone: "Europe/Berlin", now: NOW });
    expect([...days.keys()]).toEqual(["huge|2026-03-29"]);
    const day = days.get("huge|2026-03-29");
    expect([day?.malformed, day?.byUser.size]).toEqual([0n, 3]);
    expect(day?.totals).toEqual({
      requests: 9100n,
      tokens: 9099999999990900n,
      prompt: 9099999999990900n,
      completion: 9099999999995450n,
      cost: "9099999999999999.9999999999999909",
    });
  });
});

describe("the deck", () => {
  test("deals each value once a round", () => {
    const deal = deck(mulberry32(7), [1, 2, 3, 4]);
    const rounds = [0, 1, 2].map(() => [deal(), deal(), deal(), deal()].sort());
    expect(rounds).toEqual([0, 1, 2].map(() => [1, 2, 3, 4]));
    expect(() => deck(mulberry32(7), [])).toThrow(RangeError);
  });
});

describe("sample events", () => {
  test("have what differs, and leave undefined out", () => {
    expect(event({ user_id: "bob", cost: undefined })).toMatchObject({ tenant_id: "acme", user_id: "bob" });
    expect("cost" in event({ cost: undefined })).toBe(false);
    expect(sampleEvents(2, (number) => ({ user_id: `u${number}` })).map((one) => one["user_id"])).toEqual(["u0", "u1"]);
  });
});
