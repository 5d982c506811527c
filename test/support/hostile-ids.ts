import { Binary, BSONRegExp, BSONSymbol, Code, Decimal128, Double, Int32, Long, MaxKey, MinKey } from "mongodb";
import { ObjectId, Timestamp, UUID } from "mongodb";
import { letters, mulberry32 } from "./random.ts";

/*
 * Ids, keys and instants that break careless code. Documents inside have plain field names: BSON forbids NUL in them,
 * and servers differ on whether "$" may be stored.
 */

/** The field is not in the document at all. */
export const MISSING = Symbol("missing");

export const decimal = (text: string): Decimal128 => Decimal128.fromString(text);
export const long = (text: string): Long => Long.fromString(text);
export const double = (value: number): Double => new Double(value);
export const int = (value: number): Int32 => new Int32(value);

export const HEX = "65f0c0ffee65f0c0ffee65f0";
export const UUID_TEXT = "0190a5d2-7c1e-7def-8123-456789abcdef";

const longKey = letters(mulberry32(10_000), 10_000);

/** What counts as not there: the driver stores undefined as null. */
export const ABSENT: readonly unknown[] = [MISSING, null, undefined];

/** Neither an id nor a number. Arrays are apart: a compound index takes only one in a document. */
const OTHER_TYPES: readonly unknown[] = [
  true,
  false,
  {},
  { id: "acme", n: 1 },
  new Date("2026-03-01T00:00:00Z"),
  /^acme$/i,
  new BSONRegExp("acme", "i"),
  new Binary(Buffer.from("acme"), 0),
  new Binary(Buffer.alloc(16, 7), 3),
  new Binary(Buffer.from("not sixteen"), 4),
  new BSONSymbol("acme"),
  new Code("acme"),
  Timestamp.fromBits(7, 1_772_323_200),
  new MinKey(),
  new MaxKey(),
];

const NUMBERS_THAT_ARE_NO_IDS: readonly unknown[] = [
  double(1.5),
  double(NaN),
  double(Infinity),
  double(-Infinity),
  double(2 ** 63),
  double(5e-324),
  decimal("0.1"),
  decimal("NaN"),
  decimal("-Infinity"),
  decimal("9223372036854775808"),
  decimal("-9223372036854775809"),
  decimal("1E+6144"),
];

/** Tenants as stored: each entry is one tenant in all the types that print as the same text. */
export const HOSTILE_TENANTS: readonly (readonly unknown[])[] = [
  ["acme"],
  [HEX, new ObjectId(HEX)],
  [UUID_TEXT, new UUID(UUID_TEXT), new Binary(Buffer.from(UUID_TEXT.replaceAll("-", ""), "hex"), 4)],
  ["42", int(42), long("42"), double(42), decimal("42"), decimal("42.0"), decimal("4.2E+1")],
  ["9007199254740993", long("9007199254740993"), decimal("9007199254740993")],
  ["9007199254740992", long("9007199254740992"), double(2 ** 53)],
  ["-7", int(-7), double(-7)],
  ["0", int(0), double(-0), decimal("-0"), decimal("0E+3")],
  ['O\'Neil "$gt" a.b {}\\n\n\t😀\uFFFD,'],
  ["x".repeat(512)],
  ["Acme"],
];

/** Tenants that only ever have clean events. */
export const CLEAN_TENANTS: readonly (readonly unknown[])[] = [
  ["clean"],
  ["clean.$tenant ｱ😀"],
  [new ObjectId("0123456789abcdef01234567")],
  [long("77"), "77"],
];

export const INVISIBLE_TENANTS: readonly unknown[] = [
  ...ABSENT,
  "",
  "x".repeat(513),
  "€".repeat(171),
  "ac\0me",
  "\0",
  ["acme"],
  [],
  [42, new ObjectId(HEX)],
  ...OTHER_TYPES,
  ...NUMBERS_THAT_ARE_NO_IDS,
];

/** Besides Dates of days that are out of range, which depend on the zone. */
export const INVISIBLE_CREATED_AT: readonly unknown[] = [
  ...ABSENT,
  "2026-03-01T12:00:00Z",
  double(1_772_366_400_000),
  long("1772366400000"),
  Timestamp.fromBits(1, 1_772_366_400),
  {},
  false,
  new ObjectId("69a42ac0aaaaaaaaaaaaaaaa"),
  [],
  [new Date("2026-03-01T12:00:00Z")],
  [new Date("2026-03-01T12:00:00Z"), new Date("2026-03-02T12:00:00Z")],
  new Date(0),
  new Date("1969-12-31T23:59:59.999Z"),
  new Date("2999-01-01T00:00:00Z"),
  new Date(8.64e15),
  new Date(-8.64e15),
];

/** Strings that are of the right type everywhere, however odd. */
export const STRING_KEYS: readonly string[] = [
  "alice",
  "Alice",
  "alice ",
  "__proto__",
  "constructor",
  "toString",
  "hasOwnProperty",
  "a.b",
  ".",
  "$where",
  "$",
  "",
  "__unknown__",
  "__other__",
  'quo"te',
  "it's",
  "back\\slash",
  "\\u0000",
  "new\nline\r\t",
  "nul\0inside",
  "nul\uFFFDinside",
  "\0",
  "\uFFFD",
  "\uFEFFmark",
  "\u2028\u2029",
  "\u0001\u001f\u007f",
  "é",
  "e\u0301",
  // By UTF-16 units the emoji sort before these, by UTF-8 bytes after.
  "😀",
  "\u{10FFFF}",
  "\uE000",
  "\uFFFF",
  "｡",
  "👩‍👩‍👧",
  "{}",
  "[1,2]",
  "null",
  "true",
  "1",
  "01",
  "-0",
  "5",
  "5.0",
  "42",
  "0",
  "10",
  "9",
  "1e3",
  "1000",
  HEX,
  HEX.toUpperCase(),
  UUID_TEXT,
  UUID_TEXT.toUpperCase(),
  longKey,
  `${longKey}z`,
];

/** Users of other types whose text is also among the strings. */
const TYPED_USERS: readonly unknown[] = [
  new ObjectId(HEX),
  new UUID(UUID_TEXT),
  int(42),
  long("42"),
  double(42),
  double(5),
  decimal("5"),
  decimal("5E+0"),
  decimal("5.0"),
  double(-0),
  decimal("-0"),
  decimal("1E+3"),
  int(-1),
  long("9223372036854775807"),
  long("-9223372036854775808"),
  double(-(2 ** 63)),
  decimal("9223372036854775807"),
  long("9007199254740993"),
];

export const USERS: readonly unknown[] = [
  ...STRING_KEYS,
  ...TYPED_USERS,
  ...ABSENT,
  ...OTHER_TYPES,
  ...NUMBERS_THAT_ARE_NO_IDS,
];

/** Users that are arrays, for events whose tenant and created_at are none. */
export const ARRAY_USERS: readonly unknown[] = [[], ["alice"], [null], [["alice"]]];

export const MODELS: readonly unknown[] = [
  ...STRING_KEYS,
  ...ABSENT,
  ...OTHER_TYPES,
  int(42),
  double(5),
  long("5"),
  decimal("5"),
  new ObjectId(HEX),
  new UUID(UUID_TEXT),
  [],
  ["alice"],
];
