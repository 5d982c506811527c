/** Commands as mongosh reads them. */
import { BSON, Decimal128, Double, Int32, Long, MaxKey, MinKey, ObjectId, Timestamp, UUID } from "mongodb";
import { expect, test } from "vitest";
import { shellText } from "../../../src/indexes/engines/mongo/shell.ts";

test.each([
  [new Date("2026-01-01T00:00:00Z"), 'ISODate("2026-01-01T00:00:00.000Z")'],
  [new ObjectId("65a000000000000000000001"), 'ObjectId("65a000000000000000000001")'],
  [Long.fromString("9007199254740993"), 'NumberLong("9007199254740993")'],
  [9007199254740993n, 'NumberLong("9007199254740993")'],
  [Decimal128.fromString("1.50"), 'NumberDecimal("1.50")'],
  [new Int32(3), "3"],
  [new Double(1.5), "1.5"],
  [/a\/b"c/i, '/a\\/b"c/i'],
  [new BSON.BSONRegExp("a/b", "im"), "/a\\/b/im"],
  [new BSON.BSONRegExp("a b", "x"), 'BSONRegExp("a b", "x")'],
  [new BSON.BSONRegExp("(?i)a", ""), 'BSONRegExp("(?i)a", "")'],
  [new UUID("5f2c1f0e-6a53-4b0e-9d52-0a9c1d0f3b11"), 'UUID("5f2c1f0e-6a53-4b0e-9d52-0a9c1d0f3b11")'],
  [new BSON.Binary(Buffer.from("ab"), 0), 'BinData(0, "YWI=")'],
  [new Timestamp({ t: 1, i: 2 }), "Timestamp({ t: 1, i: 2 })"],
  [new MinKey(), "MinKey()"],
  [new MaxKey(), "MaxKey()"],
  ['say "a"', '"say \\"a\\""'],
  [null, "null"],
  [{}, "{}"],
  [[1, -1, true], "[1, -1, true]"],
])("%o", (value, text) => {
  expect(shellText(value)).toBe(text);
});

test("keys are quoted only where necessary, and keep their order", () => {
  const key = new Map([["b.c", 1], ["10", -1], ["a", 1]]); // prettier-ignore
  expect(shellText({ key, name: "n", unique: undefined, partialFilterExpression: { at: { $gte: new Date(0) } } })).toBe(
    '{ key: { "b.c": 1, "10": -1, a: 1 }, name: "n", partialFilterExpression: { at: { $gte: ISODate("1970-01-01T00:00:00.000Z") } } }',
  );
});
