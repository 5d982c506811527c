import { BSONSymbol, Decimal128, Double, Int32, Long } from "mongodb";
import { accumulate, equals, equalsDecimal, HOLDS, none, show, type Assumption } from "../assumption.ts";

const sum = { $sum: "$v" };
const of = (...values: readonly unknown[]) => values.map((v) => ({ v }));
const ACCUMULATOR = "mongo/db/pipeline/accumulator_sum.cpp";

/** What a plain event and one that is not plain add to `n` of the plain pipeline. */
const ODD = Long.fromNumber(2 ** 32 + 1);

export const SUMS: readonly Assumption[] = [
  {
    id: "sum-grows-to-long",
    says: "A sum of 32-bit integers past 2^31 - 1 is a 64-bit integer.",
    why: "A sum that is an integer type proves that every token count was one.",
    source: `${ACCUMULATOR} (createIntOrLong); mongo/util/summation.h`,
    heldBy: ["test/mongodb/oracle.test.ts"],
    check: async (scratch) =>
      equals(await accumulate(scratch, of(new Int32(2 ** 31 - 1), new Int32(1)), sum), Long.fromNumber(2 ** 31)),
    ferret: HOLDS,
  },
  {
    id: "sum-past-64-bits",
    says: "A sum of integers past 64 bits is a double, no error and no overflow.",
    why: "Such a day fails by name instead of storing a wrong number.",
    source: `${ACCUMULATOR} (fitsLong)`,
    heldBy: ["test/mongodb/reader.test.ts"],
    check: async (scratch) => {
      const value = await accumulate(scratch, of(Long.MAX_VALUE, Long.MAX_VALUE), sum);
      return { observed: show(value), holds: value instanceof Double };
    },
    ferret: HOLDS,
  },
  {
    id: "sum-of-longs-exact",
    says: "A sum of 64-bit integers that fits is exact, beyond 2^53 too, and has an integer type.",
    why: "Token counts are summed on the server.",
    source: `${ACCUMULATOR}; mongo/util/summation.h (DoubleDoubleSummation keeps twice 53 bits)`,
    heldBy: ["test/mongodb/oracle.test.ts"],
    check: async (scratch) => {
      const third = Long.fromString("3000000000000000001");
      return equals(await accumulate(scratch, of(third, third, third), sum), Long.fromString("9000000000000000003"));
    },
    ferret: HOLDS,
  },
  {
    id: "sum-with-a-fraction",
    says: "One double among integers makes the sum a double, one decimal makes it a decimal, also where the value is whole.",
    why: "The plain pipeline looks at the type of a token sum only, so a fraction must show in it.",
    source: `${ACCUMULATOR} (getWidestNumeric)`,
    heldBy: ["test/mongodb/reader.test.ts", "test/mongodb/oracle.test.ts"],
    check: async (scratch) => {
      const double = await accumulate(scratch, of(new Int32(1), new Double(2)), sum);
      const decimal = await accumulate(scratch, of(new Int32(1), Decimal128.fromString("2")), sum);
      const holds = double instanceof Double && decimal instanceof Decimal128;
      return { observed: `${show(double)} and ${show(decimal)}`, holds };
    },
    ferret: HOLDS,
  },
  {
    id: "sum-ignores-the-rest",
    says: "A sum leaves out what is no number: strings, null, documents, booleans, arrays, missing fields.",
    why: "An event that is not plain must not make the sums of its group fail.",
    source: ACCUMULATOR,
    heldBy: ["test/mongodb/oracle.test.ts"],
    check: async (scratch) =>
      equals(await accumulate(scratch, [...of(new Int32(7), "5", null, {}, true, [5]), {}], sum), new Int32(7)),
    ferret: HOLDS,
  },
  {
    id: "sum-of-decimals-exact",
    says: "A sum of decimals is exact up to 34 digits.",
    why: "Costs are rounded to 18 decimals and summed on the server; sums below 10^16 are promised to be exact.",
    source: `${ACCUMULATOR} (Decimal128::add); manual, NumberDecimal (IEEE 754, 34 digits)`,
    heldBy: ["test/mongodb/oracle.test.ts"],
    check: async (scratch) => {
      const costs = ["9999999999999998", "0.999999999999999999", "0.000000000000000001", "0.123456789012345678"];
      const value = await accumulate(scratch, of(...costs.map((text) => Decimal128.fromString(text))), sum);
      return equalsDecimal(value, "9999999999999999.123456789012345678");
    },
    ferret: HOLDS,
  },
  {
    id: "proof-in-n",
    says: "A sum of 1 for each plain event and of 2^32 + 1 for each other one is an exact integer: its upper half counts the others.",
    why: "A group of the plain pipeline is trusted only if the upper half of its `n` is 0.",
    source: `${ACCUMULATOR} (a mixture of int and long stays long)`,
    heldBy: ["test/unit/db/pipeline.test.ts", "test/mongodb/reader.test.ts"],
    check: async (scratch) => {
      const counted = { $sum: { $cond: [{ $gte: ["$v", 0] }, 1, ODD] } };
      const documents = of(...Array<number>(5).fill(1), ...Array<number>(3).fill(-1));
      return equals(await accumulate(scratch, documents, counted), Long.fromNumber(3 * 2 ** 32 + 8));
    },
    ferret: HOLDS,
  },
  {
    id: "group-of-nothing",
    says: "A $group over no document gives no group.",
    why: "A tenant without events on a day has no sums, and its day is stored as zero.",
    source: "mongo/db/pipeline/document_source_group.cpp; manual, $group (aggregation)",
    heldBy: ["test/integration/guard/zero-days.test.ts"],
    check: async ({ fresh }) =>
      equals(
        await fresh()
          .aggregate([{ $group: { _id: null, n: { $sum: 1 } } }])
          .toArray(),
        [],
      ),
    ferret: HOLDS,
  },
  {
    id: "push-keeps-types",
    says: "Groups that a second $group collects with $push of $$ROOT keep the types of their sums.",
    why: "All groups of a day come in one document, and the type of a sum is part of its proof.",
    source: "mongo/db/pipeline/accumulator_push.cpp",
    heldBy: ["test/mongodb/oracle.test.ts"],
    check: async ({ fresh }) => {
      const collection = fresh();
      await collection.insertMany(of(new Int32(2 ** 31 - 1), new Int32(1)));
      const [found] = await collection
        .aggregate<{ groups: { v: unknown }[] }>(
          [{ $group: { _id: {}, v: sum } }, { $group: { _id: null, groups: { $push: "$$ROOT" } } }],
          { promoteValues: false },
        )
        .toArray();
      return equals(found?.groups[0]?.v, Long.fromNumber(2 ** 31));
    },
    ferret: HOLDS,
  },
  {
    id: "group-key-of-a-symbol",
    says: "A symbol and the equal string are one key of a $group, with the type of the event that came first.",
    why: "A known limit: a user, model or provider that is a symbol counts as malformed, under `__unknown__`. Beside events with the equal string, either all of them do or none, by the order of the events; totals are not affected.",
    source:
      "mongo/db/exec/document_value/value.cpp (compare and hash_combine take a symbol for a string). Symbols are deprecated",
    heldBy: [],
    check: async ({ fresh }) => {
      const collection = fresh();
      await collection.insertMany(of("a", new BSONSymbol("a")));
      const groups = await collection.aggregate([{ $group: { _id: { m: "$v" }, n: { $sum: 1 } } }]).toArray();
      return { observed: `${groups.length} ${groups.length === 1 ? "group" : "groups"}`, holds: groups.length === 1 };
    },
    ferret: HOLDS,
  },
  {
    id: "group-key-absent",
    says: "A field of a group's key that is missing or null comes back as missing or as null, never as another value.",
    why: "Both stand for `__unknown__`.",
    source: "mongo/db/pipeline/document_source_group.cpp; jstests/aggregation/group_conversion_to_distinct_scan.js",
    heldBy: ["test/mongodb/oracle.test.ts"],
    check: async ({ fresh }) => {
      const collection = fresh();
      await collection.insertMany([{ v: null }, {}]);
      const groups = await collection
        .aggregate<{ _id: { u?: unknown } }>([{ $group: { _id: { u: "$v" }, n: { $sum: 1 } } }])
        .toArray();
      const wrong = groups.flatMap(({ _id: { u } }) => (u === undefined || u === null ? [] : [show(u)]));
      return none(wrong, "without a value");
    },
    ferret: HOLDS,
  },
  {
    id: "faults-as-a-set",
    says: "$setDifference of a list and [null] is the list's other members, each once, and $unwind gives one document for each.",
    why: "An event with several malformed fields counts under each of them.",
    source: "mongo/db/pipeline/expression.cpp (ExpressionSetDifference); manual, $setDifference and $unwind",
    heldBy: ["test/integration/seen/malformed.test.ts"],
    check: async ({ fresh }) => {
      const collection = fresh();
      await collection.insertMany([{ a: "x", b: "y" }, { a: "x" }, {}]);
      const faults = ["$a", "$b"].map((path) => ({ $ifNull: [path, null] }));
      const groups = await collection
        .aggregate<{ _id: string; n: number }>([
          { $project: { fault: { $setDifference: [faults, [null]] } } },
          { $unwind: "$fault" },
          { $group: { _id: "$fault", n: { $sum: 1 } } },
        ])
        .toArray();
      return equals(groups.map(({ _id, n }) => `${_id} ${n}`).sort(), ["x 2", "y 1"]);
    },
    ferret: HOLDS,
  },
];
