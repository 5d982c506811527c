import { Binary, BSONSymbol, Decimal128, Double, Int32, Long, MaxKey, MinKey, ObjectId, Timestamp } from "mongodb";
import { equals, evaluate, HOLDS, none, show, type Assumption, type Scratch } from "../assumption.ts";

/** In MongoDB's order, one or more values of each type. */
const IN_ORDER: readonly unknown[] = [
  new MinKey(),
  null,
  new Int32(-1),
  new Long(5),
  new Double(1e13),
  "",
  new BSONSymbol("a"),
  "b",
  {},
  { a: 1 },
  [],
  new Binary(Buffer.alloc(0), 0),
  new ObjectId("0".repeat(24)),
  false,
  true,
  new Date(-1),
  Timestamp.fromBits(1, 1),
  /x/,
  new MaxKey(),
];

/** Compares each value with the next one in an expression. @returns the pairs that are not in rising order */
async function unordered({ fresh }: Scratch, values: readonly unknown[]): Promise<string[]> {
  const collection = fresh();
  const pairs = values.slice(1).map((b, n) => ({ _id: n as never, a: values[n], b }));
  await collection.insertMany(pairs);
  const found = await collection
    .aggregate<{ a: unknown; b: unknown }>([{ $match: { $expr: { $gte: ["$a", "$b"] } } }, { $sort: { _id: 1 } }], {
      promoteValues: false,
    })
    .toArray();
  return found.map(({ a, b }) => `${show(a)} is not below ${show(b)}`);
}

const uuid = (byte: number) => new Binary(Buffer.alloc(16, byte), Binary.SUBTYPE_UUID);

export const COMPARISON: readonly Assumption[] = [
  {
    id: "order-of-types",
    says: "Expressions compare values of different types in this order: MinKey, null, numbers, strings and symbols, objects, arrays, binaries, ObjectIds, booleans, dates, timestamps, regular expressions, MaxKey.",
    why: "The plain pipeline proves with two comparisons that a measure is a number from 0 to 10^12; whatever is no number has to lie outside them.",
    source: "mongo/bson/bsontypes.h (canonicalizeBSONType); manual, Comparison/Sort Order",
    heldBy: ["test/unit/db/pipeline.test.ts", "test/mongodb/oracle.test.ts"],
    check: async (scratch) => none(await unordered(scratch, IN_ORDER), "in that order"),
    ferret: HOLDS,
  },
  {
    id: "missing-below-numbers",
    says: "A missing field is below every number in an expression.",
    why: "An event without a measure must fail the proof of the plain pipeline, so that the strict one judges it.",
    source: "mongo/bson/bsontypes.h (EOO sorts below null); manual, Comparison/Sort Order, Non-existent Fields",
    heldBy: ["test/mongodb/oracle.test.ts"],
    check: async (scratch) => {
      const isBelow = await evaluate(scratch, { a: 1 }, { $lt: ["$missing", -Infinity] });
      return none(isBelow === true ? [] : ["not below -Infinity"], "below -Infinity");
    },
    ferret: HOLDS,
  },
  {
    id: "nan-lowest",
    says: "NaN, as a double and as a decimal, is below every other number, also below -Infinity.",
    why: "The lower bound of a measure keeps NaN out, and the search for malformed fields tells NaN from negative numbers.",
    source: "mongo/base/compare_numbers.h; manual, Comparison/Sort Order",
    heldBy: ["test/mongodb/oracle.test.ts", "test/integration/seen/malformed.test.ts"],
    check: async (scratch) => {
      const pairs = [new Double(NaN), Decimal128.fromString("NaN")].map((a) => ({ a }));
      const wrong = [];
      for (const document of pairs) {
        const isLowest = await evaluate(scratch, document, { $lt: ["$a", -Infinity] });
        const isInRange = await evaluate(scratch, document, { $gte: ["$a", 0] });
        if (isLowest !== true || isInRange !== false) wrong.push(`${show(document.a)} is not the lowest number`);
      }
      return none(wrong, "the lowest number in both types");
    },
    ferret: HOLDS,
  },
  {
    id: "numbers-by-value",
    says: "Numbers of different types compare by their exact value, beyond 2^53 and beyond 15 digits too.",
    why: "A measure just above 10^12 is malformed, and an id just past 64 bits is no id, whatever the number's type.",
    source: "mongo/base/compare_numbers.h (compareDoubleToDecimal, compareLongToDouble)",
    heldBy: ["test/mongodb/oracle.test.ts", "test/mongodb/invisible.test.ts"],
    check: async (scratch) => {
      const rising = [
        Long.fromString("1000000000000"),
        Decimal128.fromString("1000000000000.000000000000000000001"),
        new Double(1000000000000.0001220703125),
        new Double(9007199254740992),
        Long.fromString("9007199254740993"),
        Long.fromString("9223372036854775807"),
        new Double(9223372036854775808),
      ];
      return none(await unordered(scratch, rising), "exact");
    },
    ferret: HOLDS,
  },
  {
    id: "binaries-by-length",
    says: "Binary values compare by length, then subtype, then bytes.",
    why: "A tenant id is a UUID exactly if it lies between the lowest and the highest binary of 16 bytes and subtype 4.",
    source: "mongo/bson/bsonelement.cpp (compareElements); manual, Comparison/Sort Order, BinData",
    heldBy: ["test/mongodb/invisible.test.ts"],
    check: async (scratch) => {
      const rising = [
        new Binary(Buffer.alloc(15, 255), 4),
        new Binary(Buffer.alloc(16, 255), 3),
        uuid(0),
        uuid(1),
        uuid(255),
        new Binary(Buffer.alloc(16, 0), 5),
        new Binary(Buffer.alloc(17, 0), 4),
      ];
      return none(await unordered(scratch, rising), "by length, subtype, bytes");
    },
    ferret: HOLDS,
  },
  {
    id: "strings-by-bytes",
    says: "Without a collation strings compare by their UTF-8 bytes.",
    why: "The proof that a query implies the filter of a partial index compares strings that way.",
    source: "mongo/bson/bsonelement.cpp (compareElements); manual, Comparison/Sort Order, Strings",
    heldBy: ["test/unit/indexes/verify/mongo-implied.test.ts"],
    check: async (scratch) =>
      none(await unordered(scratch, ["", "Z", "a", "\u00e9", "\uffff", "\u{1f600}"]), "by bytes"),
    ferret: HOLDS,
  },
  {
    id: "dates-min-max",
    says: "$min and $max of dates are dates, before 1970 too.",
    why: "The span of a tenant is the least and the greatest time of its events.",
    source: "mongo/db/pipeline/accumulator_min_max.cpp; manual, $min and $max (aggregation)",
    heldBy: ["test/integration/planning/spans.test.ts"],
    check: async ({ fresh }) => {
      const collection = fresh();
      const dates = ["2026-03-01T00:00:00.001Z", "1969-12-31T23:59:59.999Z", "2000-01-01T00:00:00Z"];
      await collection.insertMany(dates.map((date) => ({ at: new Date(date) })));
      const [found] = await collection
        .aggregate([{ $group: { _id: null, first: { $min: "$at" }, last: { $max: "$at" } } }])
        .toArray();
      return equals(found, { _id: null, first: new Date(dates[1] as string), last: new Date(dates[0] as string) });
    },
    ferret: HOLDS,
  },
];
