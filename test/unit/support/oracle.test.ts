import { Binary, BSONSymbol, Decimal128, Double, Int32, Long, ObjectId, Timestamp, UUID } from "mongodb";
import { describe, expect, test } from "vitest";
import { oracle, type Measures, type OracleDay, type OracleOptions } from "../../support/oracle.ts";
import { event, sampleEvents, type SampleEvent } from "../../support/sample.ts";

const OPTIONS: OracleOptions = { timeZone: "UTC", now: new Date("2026-03-10T12:00:00Z") };
const HEX = "65f0c0ffee65f0c0ffee65f0";
const UUID_TEXT = "0190a5d2-7c1e-7def-8123-456789abcdef";

const decimal = (text: string): Decimal128 => Decimal128.fromString(text);
const double = (value: number): Double => new Double(value);

/** The one tenant-day of these events. */
function day(...events: SampleEvent[]): OracleDay {
  const { days, invisible } = oracle(events, OPTIONS);
  const [only] = days.values();
  expect({ days: days.size, invisible }).toEqual({ days: 1, invisible: 0 });
  return only as OracleDay;
}

const requests = (sums: Map<string, Measures>): Record<string, number> =>
  Object.fromEntries([...sums].map(([key, sum]) => [key, Number(sum.requests)]));

describe("sums", () => {
  test("adds a day up by every dimension", () => {
    const found = day(
      event({ prompt_tokens: 10, completion_tokens: 5, cost: decimal("0.10") }),
      event({ prompt_tokens: 1, completion_tokens: 2, total_tokens: 9, cost: decimal("0.2"), model: "claude" }),
      event({ user_id: "bob", prompt_tokens: Long.fromString("900719925474"), completion_tokens: 0, cost: 3 }),
    );
    expect(found).toMatchObject({ tenant: "acme", date: "2026-03-01", malformed: 0n, sourceEvents: 3n });
    expect(found.totals).toEqual({
      requests: 3n,
      tokens: 900719925498n,
      prompt: 900719925485n,
      completion: 7n,
      cost: "3.3",
    });
    expect(found.byUser.get("alice")).toEqual({
      requests: 2n,
      tokens: 24n,
      prompt: 11n,
      completion: 7n,
      cost: "0.3",
    });
    expect(requests(found.byModel)).toEqual({ "gpt-4o": 2, claude: 1 });
    expect(requests(found.byProvider)).toEqual({ openai: 3 });
    expect(requests(found.raw)).toEqual({
      '["alice","gpt-4o","openai"]': 1,
      '["alice","claude","openai"]': 1,
      '["bob","gpt-4o","openai"]': 1,
    });
  });

  test("stays exact past 2^53", () => {
    const million = new Long(0).add(1e12);
    const found = day(
      ...sampleEvents(9_008, () => ({ prompt_tokens: million, completion_tokens: 0 })),
      event({ prompt_tokens: 1, completion_tokens: 0 }),
    );
    expect(found.totals.prompt).toBe(9008000000000001n);
  });

  test("takes missing and null measures as 0 and a missing total as prompt + completion", () => {
    const found = day(
      event({ prompt_tokens: undefined, completion_tokens: null, cost: null }),
      event({ prompt_tokens: null, completion_tokens: 5, total_tokens: null, cost: undefined }),
      event({ prompt_tokens: 1e12, completion_tokens: 1e12, cost: undefined }),
    );
    expect(found.totals).toMatchObject({ tokens: 2000000000005n, prompt: 1000000000000n, cost: "0" });
    expect(found.malformed).toBe(0n);
  });

  test("reads mapped fields, also in subdocuments", () => {
    const { days } = oracle([{ ...event({ tenant_id: undefined, cost: undefined }), meta: { org: "x", usd: 2 } }], {
      ...OPTIONS,
      fields: { tenant: "meta.org", cost: "meta.usd" },
    });
    expect(days.get("x|2026-03-01")?.totals.cost).toBe("2");
  });
});

describe("cost", () => {
  test.each([
    // doubles: 15 significant digits, then 18 decimals
    [double(0.1), "0.1"],
    [0.1 + 0.2, "0.3"],
    [double(1 / 3), "0.333333333333333"],
    [double(2 / 3), "0.666666666666667"],
    [double(1e-5 / 3), "0.000003333333333333"],
    [double(1e11 / 7), "14285714285.7143"],
    [double(Number("123456.789012345678")), "123456.789012346"],
    [double(1e-18), "0.000000000000000001"],
    [double(5e-19), "0"],
    [double(1.5e-18), "0.000000000000000002"],
    [double(2.5e-18), "0.000000000000000002"],
    [double(5e-324), "0"],
    [double(-0), "0"],
    [double(1e12), "1000000000000"],
    [double(Number("999999999999.9999")), "1000000000000"],
    // exact ties at the 15th digit, where toPrecision would round up
    [double(100_000_000_000.0625), "100000000000.062"],
    [double(100_000_000_000.1875), "100000000000.188"],
    // its exact value is 1.00499999999999989..., which 15 digits hide
    [double(1.005), "1.005"],
    // other types: 18 decimals only
    [new Int32(3), "3"],
    [Long.fromString("1000000000000"), "1000000000000"],
    [decimal("1E+3"), "1000"],
    [decimal("1E-8"), "0.00000001"],
    [decimal("-0"), "0"],
    [decimal("0E+6111"), "0"],
    [decimal("12.340000"), "12.34"],
    [decimal("5E-19"), "0"],
    [decimal("1.5E-18"), "0.000000000000000002"],
    [decimal("2.5E-18"), "0.000000000000000002"],
    [decimal("5.00000000000000000000000000000001E-19"), "0.000000000000000001"],
    [decimal("1.234567890123456789012345678901234"), "1.234567890123456789"],
    [decimal("0.3333333333333333333"), "0.333333333333333333"],
    [decimal("999999999999.9999999999999999985"), "999999999999.999999999999999998"],
    [decimal("999999999999.9999999999999999995"), "1000000000000"],
    [decimal("1E-6176"), "0"],
  ])("%o counts as %s", (cost, expected) => {
    const found = day(event({ cost }));
    expect([found.totals.cost, found.malformed]).toEqual([expected, 0n]);
  });

  test.each([
    double(NaN),
    Infinity,
    double(-1e-30),
    double(1_000_000_000_000.0001),
    decimal("NaN"),
    decimal("Infinity"),
    decimal("-1E-6176"),
    decimal("1000000000000.000000000000000000001"),
    Timestamp.fromBits(1, 0),
    "1",
    true,
    [1],
    {},
    new Date(1),
  ])("%o is malformed", (cost) => {
    const found = day(event({ cost }));
    expect([found.totals.cost, found.malformed]).toEqual(["0", 1n]);
  });
});

describe("tokens", () => {
  test.each([
    [double(5), 5n],
    [double(-0), 0n],
    [decimal("5.0"), 5n],
    [decimal("1E+3"), 1000n],
    [decimal("1E+12"), 1000000000000n],
    [Long.fromString("1000000000000"), 1000000000000n],
  ])("%o counts as %s", (prompt_tokens, expected) => {
    const found = day(event({ prompt_tokens }));
    expect([found.totals.prompt, found.malformed]).toEqual([expected, 0n]);
  });

  test.each([
    double(0.5),
    double(NaN),
    -1,
    double(1e12 + 1),
    Long.MAX_VALUE,
    decimal("0.5"),
    decimal("1E-6176"),
    decimal("1000000000000.000000000000000000001"),
    Timestamp.fromBits(5, 0),
    "5",
    false,
    [],
  ])("%o is malformed", (bad) => {
    const prompt = day(event({ prompt_tokens: bad, completion_tokens: 3 }));
    expect([prompt.totals.prompt, prompt.totals.tokens, prompt.malformed]).toEqual([0n, 3n, 1n]);
    const total = day(event({ total_tokens: bad }));
    expect([total.totals.prompt, total.totals.tokens, total.malformed]).toEqual([10n, 0n, 1n]);
  });

  test("counts an event once, however many fields are bad", () => {
    const all = { user_id: 1.5, model: 5, provider: {}, prompt_tokens: "1", completion_tokens: -1, total_tokens: NaN };
    const found = day(event({ ...all, cost: "x" }), event(), event({ model: [] }));
    expect([found.malformed, found.sourceEvents, found.totals.tokens]).toEqual([2n, 3n, 30n]);
  });
});

describe("keys", () => {
  test("merges users of different type and equal text", () => {
    const users = [
      ...["5", 5, double(5), Long.fromNumber(5), decimal("5"), decimal("5E+0"), decimal("5.0")],
      ...[HEX, new ObjectId(HEX)],
      ...[UUID_TEXT, new UUID(UUID_TEXT), new Binary(Buffer.from(UUID_TEXT.replaceAll("-", ""), "hex"), 4)],
      ...["0", double(-0), decimal("-0")],
      ...["a\0b", "a\uFFFDb"],
      ...["1000", decimal("1E+3")],
      ...["-9223372036854775808", double(-(2 ** 63)), Long.MIN_VALUE],
    ];
    const found = day(...users.map((user_id) => event({ user_id })));
    expect(requests(found.byUser)).toEqual({
      "5": 7,
      [HEX]: 2,
      [UUID_TEXT]: 3,
      "0": 3,
      "a\uFFFDb": 2,
      "1000": 2,
      "-9223372036854775808": 3,
    });
    expect(found.malformed).toBe(0n);
  });

  test("keeps apart what only looks equal", () => {
    const users = ["alice", "Alice", "alice ", "é", "e\u0301", "05", "5.0", HEX.toUpperCase(), "__proto__"];
    expect(day(...users.map((user_id) => event({ user_id }))).byUser.size).toBe(users.length);
  });

  test("counts what is missing under __unknown__, with the real id of that name", () => {
    const absent = [undefined, null, "", "__unknown__"];
    const found = day(...absent.map((none) => event({ user_id: none, model: none, provider: none })));
    const unknown = { __unknown__: 4 };
    expect([found.byUser, found.byModel, found.byProvider].map(requests)).toEqual([unknown, unknown, unknown]);
    expect(found.malformed).toBe(0n);
  });

  test("counts users of another type under __unknown__, malformed", () => {
    const others = [
      ...[double(1.5), NaN, double(2 ** 63), decimal("0.5"), decimal("9223372036854775808"), decimal("NaN")],
      ...[true, {}, [], ["alice"], new Date(), /a/, new Binary(Buffer.alloc(16), 3), new Binary(Buffer.alloc(3), 4)],
      ...[new BSONSymbol("alice"), Timestamp.fromBits(5, 0)],
    ];
    const found = day(...others.map((user_id) => event({ user_id })));
    expect(requests(found.byUser)).toEqual({ __unknown__: others.length });
    expect(found.malformed).toBe(BigInt(others.length));
  });

  test("takes only strings as model and provider", () => {
    const others = [5, Long.fromNumber(5), new ObjectId(), new UUID(), [], {}, false];
    const found = day(...others.flatMap((other) => [event({ model: other }), event({ provider: other })]));
    expect(requests(found.byModel)).toEqual({ __unknown__: 7, "gpt-4o": 7 });
    expect(requests(found.byProvider)).toEqual({ __unknown__: 7, openai: 7 });
    expect(found.malformed).toBe(14n);
  });
});
