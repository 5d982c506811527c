import { Binary, Decimal128, Double, Int32, Long, MinKey, ObjectId } from "mongodb";
import { equals, equalsDecimal, evaluate, HOLDS, none, show, units, type Assumption } from "../assumption.ts";

const EXPRESSION = "mongo/db/pipeline/expression.cpp";
const decimal = (text: string) => Decimal128.fromString(text);
/** As the pipelines convert a cost. */
const toDecimal = { $convert: { input: "$v", to: "decimal", onError: null, onNull: null } };
const rounded = { $round: [toDecimal, 18] };

export const CONVERSIONS: readonly Assumption[] = [
  {
    id: "double-to-15-digits",
    says: "$convert of a double to a decimal keeps 15 significant digits, rounded.",
    why: "A double cost of 0.1 + 0.2 is 0.3; the oracle and the documentation say so.",
    source: "mongo/platform/decimal128.h (kRoundTo15Digits is the default); jstests/aggregation/expressions/convert.js",
    heldBy: ["test/mongodb/oracle.test.ts"],
    check: async (scratch) => {
      const wanted: [number, string][] = [
        [0.1 + 0.2, "0.3"],
        [1 / 3, "0.333333333333333"],
        [1e12 / 3, "333333333333.333"],
        [Number("9.999999999999999"), "10"],
      ];
      const wrong = [];
      for (const [v, text] of wanted) {
        const value = await evaluate(scratch, { v: new Double(v) }, toDecimal);
        if (units(value) !== units(decimal(text))) wrong.push(`${v} becomes ${show(value)}`);
      }
      return none(wrong, "15 digits");
    },
    ferret: HOLDS,
  },
  {
    id: "round-half-even",
    says: "$round of a decimal to 18 places rounds half to even.",
    why: "Every cost is rounded so, before it is summed.",
    source: "jstests/aggregation/expressions/round_trunc.js; manual, $round (aggregation)",
    heldBy: ["test/mongodb/oracle.test.ts"],
    check: async (scratch) => {
      const wanted = { "5E-19": "0", "1.5E-18": "2E-18", "2.5E-18": "2E-18", "5.1E-19": "1E-18", "1E-6176": "0" };
      const wrong = [];
      for (const [v, text] of Object.entries(wanted)) {
        const value = await evaluate(scratch, { v: decimal(v) }, rounded);
        if (units(value) !== units(decimal(text))) wrong.push(`${v} becomes ${show(value)}`);
      }
      return none(wrong, "half to even");
    },
    ferret: HOLDS,
  },
  {
    id: "decimal-stays",
    says: "$convert of a decimal to a decimal changes nothing, with all 34 digits.",
    why: "A Decimal128 cost is exact as stored, up to 18 decimals.",
    source: `${EXPRESSION} (ExpressionConvert, identity)`,
    heldBy: ["test/mongodb/oracle.test.ts"],
    check: async (scratch) => {
      const text = "999999999999.999999999999999999";
      return equalsDecimal(await evaluate(scratch, { v: decimal(text) }, rounded), text);
    },
    ferret: HOLDS,
  },
  {
    id: "convert-never-fails",
    says: "$convert with onError and onNull gives null for what is no number, and $round of null is null.",
    why: "One event with a cost of another type must not fail the day of its tenant.",
    source: "jstests/aggregation/expressions/convert.js; manual, $convert (onError, onNull)",
    heldBy: ["test/mongodb/oracle.test.ts"],
    check: async (scratch) => {
      const wrong = [];
      for (const v of [
        "free",
        {},
        { usd: 1 },
        [1],
        null,
        new ObjectId(),
        new MinKey(),
        /x/,
        new Binary(Buffer.alloc(3)),
      ]) {
        const value = await evaluate(scratch, { v }, rounded);
        if (value !== null) wrong.push(`${show(v)} becomes ${show(value)}`);
      }
      return none(wrong, "null for each");
    },
    ferret: HOLDS,
  },
  {
    id: "to-long-exact",
    says: "$toLong of a whole double or decimal is exactly that 64-bit integer.",
    why: "A token count may be of any number type, and sums are integers.",
    source: "jstests/aggregation/expressions/convert.js; manual, $toLong",
    heldBy: ["test/mongodb/oracle.test.ts"],
    check: async (scratch) => {
      const wanted: [unknown, string][] = [
        [new Double(1e12), "1000000000000"],
        [new Double(9007199254740992), "9007199254740992"],
        [decimal("1E+12"), "1000000000000"],
        [decimal("5.000"), "5"],
        [decimal("-9223372036854775808"), "-9223372036854775808"],
      ];
      const wrong = [];
      for (const [v, text] of wanted) {
        const value = await evaluate(scratch, { v }, { $toLong: "$v" });
        if (!(value instanceof Long) || value.toString() !== text) wrong.push(`${show(v)} becomes ${show(value)}`);
      }
      return none(wrong, "exact");
    },
    ferret: HOLDS,
  },
  {
    id: "trunc-shows-a-fraction",
    says: "A number equals its $trunc exactly if it is whole.",
    why: "A token count with a fraction is malformed.",
    source: "jstests/aggregation/expressions/round_trunc.js; manual, $trunc",
    heldBy: ["test/mongodb/oracle.test.ts"],
    check: async (scratch) => {
      const wholes = [new Int32(5), new Double(5), new Double(1e12), decimal("1E+3"), decimal("5.0"), new Double(-0)];
      const fractions = [0.5, 5e-324, 999_999_999_999.5].map((value): unknown => new Double(value));
      fractions.push(decimal("1E-6176"), decimal("4.999999999999999999999999999999999"));
      const isWhole = { $eq: ["$v", { $trunc: "$v" }] };
      const wrong = [];
      for (const [values, wanted] of [
        [wholes, true],
        [fractions, false],
      ] as const) {
        for (const v of values) {
          if ((await evaluate(scratch, { v }, isWhole)) !== wanted) wrong.push(`${show(v)}: not ${wanted}`);
        }
      }
      return none(wrong, "whole numbers only");
    },
    ferret: HOLDS,
  },
  {
    id: "is-number",
    says: "$isNumber is true for integers, doubles and decimals (NaN too) and for nothing else.",
    why: "The strict pipeline guards every conversion with it.",
    source: "jstests/aggregation/expressions/is_number.js; since 4.4",
    heldBy: ["test/mongodb/oracle.test.ts"],
    check: async (scratch) => {
      const numbers = [new Int32(1), new Long(1), new Double(NaN), decimal("Infinity")];
      const wrong = [];
      for (const v of [...numbers, "1", null, true, new Date(1), [1], {}]) {
        const wanted = numbers.includes(v as Int32);
        if ((await evaluate(scratch, { v }, { $isNumber: "$v" })) !== wanted) wrong.push(`${show(v)}: not ${wanted}`);
      }
      if ((await evaluate(scratch, { a: 1 }, { $isNumber: "$v" })) !== false) wrong.push("a missing field: true");
      return none(wrong, "numbers only");
    },
    ferret: HOLDS,
  },
  {
    id: "type-names",
    says: '$type names a missing field "missing", null "null", MinKey "minKey", an array "array"; a path through an array of documents is an array.',
    why: "Missing is told from MinKey, which is below null; an array on the path of a field makes its event invisible or malformed.",
    source: "manual, $type (aggregation); jstests/core/query/type/type_operator_on_missing_values.js",
    heldBy: ["test/mongodb/oracle.test.ts", "test/mongodb/invisible.test.ts"],
    check: async (scratch) => {
      const document = { null: null, low: new MinKey(), list: [1], nested: [{ a: 1 }] };
      const types = ["$missing", "$null", "$low", "$list", "$nested.a", "$null.a"].map((path) => ({ $type: path }));
      const wanted = ["missing", "null", "minKey", "array", "array", "missing"];
      return equals(await evaluate(scratch, document, types), wanted);
    },
    ferret: HOLDS,
  },
  {
    id: "bytes-of-a-string",
    says: "$strLenBytes counts UTF-8 bytes, and $indexOfBytes finds a NUL character.",
    why: "A tenant of more than 512 bytes, or with a NUL, can have no row.",
    source: "jstests/aggregation/expressions/indexof_bytes.js; manual, $strLenBytes",
    heldBy: ["test/mongodb/invisible.test.ts"],
    check: async (scratch) => {
      const lengths = [{ $strLenBytes: "$v" }, { $indexOfBytes: ["$v", "\0"] }, { $indexOfBytes: ["$v", "x"] }];
      const wanted = [new Int32(7), new Int32(6), new Int32(-1)];
      return equals(await evaluate(scratch, { v: "\u00e9\u{1f600}\0" }, lengths), wanted);
    },
    ferret: HOLDS,
  },
  {
    id: "cond-is-lazy",
    says: "$cond evaluates only the branch that it takes.",
    why: "It guards conversions that fail on other types.",
    source: `${EXPRESSION} (ExpressionCond); jstests/aggregation/expressions/cond.js`,
    heldBy: ["test/mongodb/oracle.test.ts"],
    check: async (scratch) =>
      equals(await evaluate(scratch, { v: "x" }, { $cond: [{ $isNumber: "$v" }, { $toLong: "$v" }, 0] }), new Int32(0)),
    ferret: HOLDS,
  },
  {
    id: "names-of-fields",
    says: "$objectToArray of $$ROOT lists the names of an event's fields in their order.",
    why: "A rebuild that finds nothing names the fields that the newest events have.",
    source: "manual, $objectToArray; jstests/aggregation/expressions/arrayToObject.js",
    heldBy: ["test/integration/seen/finding.test.ts", "test/unit/db/event-sample.test.ts"],
    check: async (scratch) => {
      const names = { $map: { input: { $objectToArray: "$$ROOT" }, as: "one", in: "$$one.k" } };
      return equals(await evaluate(scratch, { _id: 1 as never, z: 1, a: { b: 2 } }, names), ["_id", "z", "a"]);
    },
    ferret: HOLDS,
  },
  {
    id: "update-by-pipeline",
    says: "An update by a pipeline knows $$NOW, $$REMOVE and $literal, and inserts with upsert.",
    why: "The index keeper's ledger takes its times from the server's clock and stores definitions full of dollar signs.",
    source: "manual, Updates with Aggregation Pipeline; since 4.2",
    heldBy: ["test/integration/indexes/engine-conformance.test.ts"],
    check: async ({ fresh }) => {
      const collection = fresh();
      const spec = { $literal: "$$ROOT" };
      const update = [{ $set: { gone: "$$REMOVE", spec, at: { $ifNull: ["$at", "$$NOW"] } } }];
      await collection.updateOne({ _id: "a" as never }, update, { upsert: true });
      const found = await collection.findOne({ _id: "a" as never });
      const holds = found?.["at"] instanceof Date && !("gone" in found) && show(found["spec"]) === show(spec.$literal);
      return { observed: show(found), holds };
    },
    ferret: HOLDS,
  },
];
