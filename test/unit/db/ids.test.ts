import {
  Binary,
  BSON,
  BSONRegExp,
  BSONSymbol,
  Code,
  DBRef,
  Decimal128,
  Double,
  Int32,
  Long,
  MaxKey,
  MinKey,
  ObjectId,
  Timestamp,
  UUID,
} from "mongodb";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { idCandidates, idText, readDecimal128 } from "../../../src/db/mongo/ids.ts";
import { Decimal, numberOf } from "../../support/exact-number.ts";
import { holds } from "../../support/property.ts";

const HEX = "65f0c0ffee65f0c0ffee65f0";
const UUID_TEXT = "0190a5d2-7c1e-7def-8123-456789abcdef";
const decimal = (text: string) => Decimal128.fromString(text);

/** As a driver hands it out: through BSON, with `promoteValues: false`. */
function stored(value: unknown): unknown {
  return BSON.deserialize(BSON.serialize({ value }), { promoteValues: false })["value"];
}

/** Do the servers take these two for equal? Numbers by value, everything else by type and bytes. */
function matches(candidate: unknown, value: unknown): boolean {
  const [a, b] = [numberOf(candidate)?.value, numberOf(value)?.value];
  if (a && b) return a.eq(b);
  return BSON.EJSON.stringify({ value: candidate }) === BSON.EJSON.stringify({ value });
}

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const int64 = fc.oneof(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.bigInt(-9n, 9n));

/** Ids of every type that may be one. */
const id: fc.Arbitrary<unknown> = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.constantFrom(
    "0",
    "-0",
    "7",
    "007",
    "+7",
    "1.0",
    "1e3",
    HEX,
    HEX.toUpperCase(),
    UUID_TEXT,
    UUID_TEXT.toUpperCase(),
  ),
  bytes(12).map((of) => new ObjectId(of)),
  bytes(16).map((of) => new UUID(of)),
  bytes(16).map((of) => new Binary(of, Binary.SUBTYPE_UUID)),
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }).map((of) => new Int32(of)),
  int64.map((of) => Long.fromBigInt(of)),
  fc.oneof(fc.maxSafeInteger(), fc.constantFrom(-0, 2 ** 62, -(2 ** 63))).map((of) => new Double(of)),
  int64.map((of) => decimal(of.toString())),
  fc.constantFrom("-0", "0E+6111", "0E-6176", "7.00", "7E2", "-7E+18", "92233720368547758070E-1").map(decimal),
);

describe("ids", () => {
  test("are among the candidates of their own text, as the servers compare", () => {
    holds(
      fc.property(id, (value) => {
        const text = idText(stored(value));
        if (text === undefined) throw new Error("no id");
        expect(idCandidates(text).some((candidate) => matches(candidate, stored(value)))).toBe(true);
      }),
      1_000,
    );
  });

  test("of a text all have that text", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.stringMatching(/^[0-9a-f]{24}$/),
      fc.uuid(),
      fc.bigInt(-(2n ** 64n), 2n ** 64n).map(String),
    );
    holds(
      fc.property(text, (any) => {
        const candidates = idCandidates(any);
        expect(candidates[0]).toBe(any);
        expect(candidates.map((candidate) => idText(stored(candidate)))).toEqual(candidates.map(() => any));
      }),
      500,
    );
  });

  test.each([
    ["acme", ["acme"]],
    ["", [""]],
    [HEX, [HEX, new ObjectId(HEX)]],
    ["123456789012345678901234", ["123456789012345678901234", new ObjectId("123456789012345678901234")]],
    [HEX.toUpperCase(), [HEX.toUpperCase()]],
    [UUID_TEXT, [UUID_TEXT, new UUID(UUID_TEXT)]],
    [UUID_TEXT.toUpperCase(), [UUID_TEXT.toUpperCase()]],
    [UUID_TEXT.replaceAll("-", ""), [UUID_TEXT.replaceAll("-", "")]],
    ["0", ["0", Long.ZERO]],
    ["-12", ["-12", Long.fromInt(-12)]],
    ["9223372036854775807", ["9223372036854775807", Long.MAX_VALUE]],
    ["9223372036854775808", ["9223372036854775808"]],
    ["-9223372036854775808", ["-9223372036854775808", Long.MIN_VALUE]],
    ["-9223372036854775809", ["-9223372036854775809"]],
    ["-0", ["-0"]],
    ["007", ["007"]],
    ["1.0", ["1.0"]],
    ["12\n", ["12\n"]],
  ])("%j may be stored as %j", (text, candidates) => {
    expect(idCandidates(text)).toEqual(candidates);
  });

  test.each([
    ["an int", new Int32(-7), "-7"],
    ["a plain number", 7, "7"],
    ["a bigint", 7n, "7"],
    ["a double without a fraction", new Double(1e15), "1000000000000000"],
    ["a negative zero", new Double(-0), "0"],
    ["a decimal with zeros behind", decimal("7.00"), "7"],
    ["a decimal with an exponent", decimal("7E+3"), "7000"],
    ["the least decimal within 64 bits", decimal("-9223372036854775808"), "-9223372036854775808"],
    ["a decimal zero of any exponent", decimal("0E+6111"), "0"],
  ])("%s is one", (_, value, text) => {
    expect(idText(value)).toBe(text);
  });

  test.each([
    ["a fraction", new Double(1.5)],
    ["NaN", new Double(NaN)],
    ["infinity", new Double(Infinity)],
    ["2^63 as a double", new Double(2 ** 63)],
    ["2^63 as a decimal", decimal("9223372036854775808")],
    ["a decimal fraction", decimal("7.5")],
    ["the least decimal", decimal("1E-6176")],
    ["the largest decimal", decimal("9.999999999999999999999999999999999E+6144")],
    ["a decimal NaN", decimal("NaN")],
    ["a decimal infinity", decimal("-Infinity")],
    ["a timestamp", new Timestamp({ t: 1, i: 1 })],
    ["a symbol", new BSONSymbol("acme")],
    ["old UUIDs, whose bytes drivers order differently", new Binary(new Uint8Array(16), 3)],
    ["a UUID of 15 bytes", new Binary(new Uint8Array(15), Binary.SUBTYPE_UUID)],
    ["bytes", new Binary(new Uint8Array(16), 0)],
    ["code", new Code("x")],
    ["a reference", new DBRef("users", new ObjectId(HEX))],
    ["a pattern", new BSONRegExp("x")],
    ["the least key", new MinKey()],
    ["the largest key", new MaxKey()],
    ["a date", new Date(0)],
    ["a boolean", true],
    ["null", null],
    ["nothing", undefined],
    ["an array", ["acme"]],
    ["a document", { id: "acme" }],
  ])("%s is none", (_, value) => {
    expect(idText(value)).toBeUndefined();
    const isKept = value !== undefined && !(value instanceof DBRef);
    expect(idText(isKept ? stored(value) : value)).toBeUndefined();
  });
});

describe("readDecimal128", () => {
  /** The value as text for decimal.js, or what is not finite. */
  function read(value: Decimal128): string {
    const { coefficient, exponent, negative, finite } = readDecimal128(value);
    return finite ? `${negative ? "-" : ""}${coefficient}e${exponent}` : "not finite";
  }

  test("reads what the driver prints, whatever the exponent", () => {
    const coefficient = fc.oneof(
      fc.bigInt(0n, 10n ** 34n - 1n),
      fc.bigInt(0n, 2n ** 65n),
      fc.constantFrom(0n, 10n ** 34n - 1n),
    );
    const exponent = fc.oneof(fc.integer({ min: -6_176, max: 6_111 }), fc.integer({ min: -40, max: 20 }));
    holds(
      fc.property(coefficient, exponent, fc.boolean(), (digits, power, negative) => {
        const value = decimal(`${negative ? "-" : ""}${digits}E${power}`);
        const { coefficient: found, ...rest } = readDecimal128(value);
        expect(new Decimal(read(value)).eq(value.toString())).toBe(true);
        expect({ found, ...rest }).toMatchObject({ found: digits, negative, finite: true });
        expect(rest.exponent).toBe(power);
      }),
      1_000,
    );
  });

  test.each(["NaN", "Infinity", "-Infinity"])("%s is not finite", (text) => {
    expect(readDecimal128(decimal(text)).finite).toBe(false);
  });

  test("a coefficient past 34 digits, which only bytes can say, counts as zero", () => {
    const raw = new Uint8Array(16).fill(0xff);
    raw[15] = 0x6c;
    expect(readDecimal128(new Decimal128(raw))).toMatchObject({ coefficient: 0n, negative: false, finite: true });
    raw[15] = 0xec;
    expect(readDecimal128(new Decimal128(raw))).toMatchObject({ coefficient: 0n, negative: true, finite: true });
  });

  test("reads a value that is a view into a larger buffer", () => {
    const message = new Uint8Array(40);
    message.set(decimal("-12.5").bytes, 7);
    expect(read(new Decimal128(message.subarray(7, 23)))).toBe("-125e-1");
  });
});
