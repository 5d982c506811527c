import { BSONSymbol, ObjectId, Timestamp, UUID } from "mongodb";
import { ABSENT, decimal, double, HEX, int, long, UUID_TEXT } from "./hostile-ids.ts";

/* Token counts and costs that break careless code, and the plain ones beside them. */

const LIMIT = 1e12;

/** Of integer types and within range. */
export const CLEAN_TOKENS: readonly unknown[] = [
  int(0),
  int(1),
  int(7),
  int(1500),
  int(2 ** 31 - 1),
  long("0"),
  long("2147483648"),
  long("999999999999"),
  ...Array.from({ length: 6 }, () => long("1000000000000")),
];

/** Of integer types only, but out of range: a sum cannot tell. */
export const BAD_INTEGERS: readonly unknown[] = [
  int(-1),
  int(-(2 ** 31)),
  long("-5"),
  long("1000000000001"),
  long("9223372036854775807"),
  long("-9223372036854775808"),
];

const VALID_TOKENS: readonly unknown[] = [
  ...CLEAN_TOKENS,
  double(5),
  double(0),
  double(-0),
  double(LIMIT),
  decimal("5"),
  decimal("5.0"),
  decimal("1E+3"),
  decimal("0E-10"),
  decimal("-0"),
  decimal("1E+12"),
  decimal("1000000000000.000"),
];

const NO_MEASURES: readonly unknown[] = [
  "5",
  "",
  "abc",
  true,
  false,
  {},
  { n: 5 },
  [],
  [5],
  [1, 2],
  new Date(5),
  /5/,
  new ObjectId(HEX),
  new UUID(UUID_TEXT),
  Timestamp.fromBits(5, 1),
  new BSONSymbol("5"),
  double(NaN),
  double(Infinity),
  double(-Infinity),
  double(-1),
  double(-5e-324),
  double(1e12 + 1),
  double(1.7976931348623157e308),
  decimal("NaN"),
  decimal("Infinity"),
  decimal("-Infinity"),
  decimal("-1"),
  decimal("-1E-6176"),
  decimal("1000000000000.000000000000000000001"),
  decimal("1000000000001"),
  decimal("9.999999999999999999999999999999999E+6144"),
];

export const TOKENS: readonly unknown[] = [
  ...VALID_TOKENS,
  ...ABSENT,
  ...BAD_INTEGERS,
  ...NO_MEASURES,
  double(0.5),
  double(5e-324),
  double(999_999_999_999.5),
  decimal("0.5"),
  decimal("1E-6176"),
  decimal("4.999999999999999999999999999999999"),
];

/** Exact as stored or to be rounded to 18 decimals, and within range. */
export const CLEAN_COSTS: readonly unknown[] = [
  int(0),
  int(3),
  long("1000000000000"),
  ...[
    "0",
    "-0",
    "0E+6111",
    "0E-6176",
    "0.1",
    "0.10",
    "12.340000",
    "1E+3",
    "1E-8",
    "1E+12",
    "1E-18",
    "5E-19",
    "1.5E-18",
    "2.5E-18",
    "5.00000000000000000000000000000001E-19",
    "4.999999999999999999999999999999999E-19",
    "1E-6176",
    "999999999999.9999999999999999995",
    "999999999999.9999999999999999985",
    "1.234567890123456789012345678901234",
    "0.0000012345678901235000",
    "123456789012.3456789012345678901234",
  ].map(decimal),
];

/** Doubles on both sides of the 15-digit cut; the last ones are exact ties. */
export const DOUBLE_COSTS: readonly unknown[] = [
  0,
  -0,
  0.1,
  0.1 + 0.2,
  1 / 3,
  2 / 3,
  1e-5 / 3,
  1e-8,
  1e-18,
  5e-19,
  1.5e-18,
  2.5e-18,
  0.000123,
  1.005,
  1e11 / 7,
  1e12 / 3,
  LIMIT,
  5e-324,
  2.2250738585072014e-308,
  1e-300,
  ...["9.999999999999999", "99999999999.99999", "999999999999.9999", "123456.789012345678"].map(Number),
  100_000_000_000.0625,
  100_000_000_000.1875,
  700_000_000_000.4375,
].map(double);

export const COSTS: readonly unknown[] = [
  ...CLEAN_COSTS,
  ...DOUBLE_COSTS,
  ...ABSENT,
  ...BAD_INTEGERS,
  ...NO_MEASURES,
  double(1_000_000_000_000.0001),
  double(-1e-30),
];
