import { Binary, BSONSymbol, Decimal128, Double, Int32, Long, ObjectId, Timestamp, UUID, type Filter } from "mongodb";
import { equals, HOLDS, none, show, type Assumption, type Scratch } from "../assumption.ts";

/** The values of `v` that a filter finds, by the number of their document. */
async function found({ fresh }: Scratch, values: readonly unknown[], filter: Filter<object>): Promise<number[]> {
  const collection = fresh();
  await collection.insertMany(values.map((v, n) => ({ _id: n as never, v })));
  const documents = await collection.find(filter, { sort: { _id: 1 }, projection: { _id: 1 } }).toArray();
  return documents.map(({ _id }) => Number(_id));
}

const START = new Date("2026-03-01T00:00:00Z");
const END = new Date("2026-03-02T00:00:00Z");

/** An id of each type that an `_id` can have, with the range that asks for its type. */
const ID_RANGES: readonly (readonly [string, unknown, object])[] = [
  ["string", "", { $gte: "" }],
  ["number", new Double(-1e300), { $gte: -Infinity }],
  ["binary", new UUID("00000000-0000-0000-0000-000000000000"), { $gte: new Binary(Buffer.alloc(0), 0) }],
  ["object", { a: 1 }, { $gte: {} }],
  ["date", new Date(-8.64e15), { $gte: new Date(-8.64e15) }],
  ["timestamp", Timestamp.fromBits(1, 1), { $gte: Timestamp.fromBits(0, 0) }],
  ["boolean", false, { $gte: false }],
  [
    "objectId",
    new ObjectId("0".repeat(24)),
    { $gte: new ObjectId("0".repeat(24)), $lte: new ObjectId("f".repeat(24)) },
  ],
];

export const MATCHING: readonly Assumption[] = [
  {
    id: "in-of-several-types",
    says: "$in with a string and an integer finds the string and the equal number of every type, and nothing else.",
    why: "A tenant's id is text: the events of a tenant may hold it in several types.",
    source: "mongo/db/matcher/expression_leaf.cpp (InMatchExpression); manual, $in",
    heldBy: ["test/unit/db/ids.test.ts", "test/mongodb/oracle.test.ts"],
    check: async (scratch) => {
      const same = ["5", new Int32(5), new Long(5), new Double(5), Decimal128.fromString("5.0")];
      const others = ["5.0", new Double(5.5), true, null, new ObjectId(), { v: 5 }];
      return equals(await found(scratch, [...same, ...others], { v: { $in: ["5", new Long(5)] } }), [0, 1, 2, 3, 4]);
    },
    ferret: HOLDS,
  },
  {
    id: "symbol-equals-string",
    says: "A filter for a string also finds the equal symbol, unless $not $type leaves symbols out.",
    why: "A tenant that is a symbol is no tenant; the pipelines leave it out by name.",
    source: "mongo/bson/bsontypes.h (canonicalizeBSONType); manual, Comparison/Sort Order",
    heldBy: ["test/unit/db/pipeline.test.ts", "test/mongodb/oracle.test.ts"],
    check: async (scratch) => {
      const values = ["a", new BSONSymbol("a")];
      const noLookalike = { $not: { $type: ["array", "symbol"] as never } };
      const plain = await found(scratch, values, { v: "a" });
      const guarded = await found(scratch, values, { v: { $eq: "a", ...noLookalike } });
      return equals([plain.length, guarded], [2, [0]]);
    },
    ferret: HOLDS,
  },
  {
    id: "array-by-element",
    says: "A filter finds an array by any of its elements, and a range by two different ones; $not $type array leaves arrays out.",
    why: "An event with an array of times would count on two days.",
    source:
      "jstests/core/query/type/type_array.js ($type array means the array itself since 3.6); manual, Query an Array",
    heldBy: ["test/unit/db/pipeline.test.ts", "test/mongodb/oracle.test.ts"],
    check: async (scratch) => {
      const values = [START, [START], [new Date(START.getTime() - 1), END]];
      const range = { $gte: START, $lt: END };
      const plain = await found(scratch, values, { v: range });
      const guarded = await found(scratch, values, { v: { ...range, $not: { $type: "array" } } });
      return equals([plain, guarded], [[0, 1, 2], [0]]);
    },
    ferret: HOLDS,
  },
  {
    id: "array-on-the-path",
    says: "A filter for a nested field reaches into an array of documents on its path; $not $type array on that part leaves it out.",
    why: "EVENTS_FIELDS may name nested fields.",
    source: "manual, Query an Array of Embedded Documents; jstests/core/query/array/arrayfind5.js",
    heldBy: ["test/unit/db/pipeline.test.ts", "test/mongodb/invisible.test.ts"],
    check: async (scratch) => {
      const values = [{ id: "a" }, [{ id: "a" }]];
      const plain = await found(scratch, values, { "v.id": "a" });
      const guarded = await found(scratch, values, { "v.id": "a", v: { $not: { $type: "array" } } });
      return equals([plain, guarded], [[0, 1], [0]]);
    },
    ferret: HOLDS,
  },
  {
    id: "type-bracketing",
    says: "A comparison in a filter finds values of its own type only: one range for each type that an `_id` may have.",
    why: "Ids that are no ObjectIds are noticed by asking for one of each other type.",
    source: "manual, Comparison/Sort Order, Type Bracketing; mongo/db/matcher/expression_leaf.cpp",
    heldBy: ["test/mongodb/foreign-ids.test.ts"],
    check: async ({ fresh }) => {
      const collection = fresh();
      await collection.insertMany(ID_RANGES.map(([, _id]) => ({ _id: _id as never })));
      const wrong = [];
      for (const [type, id, range] of ID_RANGES) {
        const ids = await collection
          .find({ _id: range } as never, { hint: { _id: 1 }, promoteValues: false })
          .toArray();
        if (ids.length !== 1 || show(ids[0]?._id) !== show(id)) wrong.push(`${type}: finds ${show(ids)}`);
      }
      return none(wrong, "each range finds its own type");
    },
    ferret: HOLDS,
  },
  {
    id: "object-ids-by-time",
    says: "ObjectIds compare by their bytes, of which the first four are the second in which they were made.",
    why: "Events that have arrived since an instant are the ids from that second on.",
    source: "manual, ObjectId; mongo/bson/oid.h (big-endian, so that memcmp orders by time)",
    heldBy: ["test/unit/db/arrivals.test.ts", "test/mongodb/arrivals.test.ts"],
    check: async ({ fresh }) => {
      const collection = fresh();
      const ids = ["00000001", "65f0c0ff", "7fffffff", "80000000", "ffffffff"].map(
        (second) => new ObjectId(second + "f".repeat(16)),
      );
      await collection.insertMany(ids.toReversed().map((_id) => ({ _id })));
      const since = ObjectId.createFromTime(0x7fffffff);
      const sorted = await collection.find({ _id: { $gte: since } }, { sort: { _id: 1 }, hint: { _id: 1 } }).toArray();
      return equals(
        sorted.map(({ _id }) => _id),
        ids.slice(2),
      );
    },
    ferret: HOLDS,
  },
  {
    id: "invalid-utf8-is-stored",
    says: "A string that is no UTF-8 is stored and sent as it is; the driver reads it with U+FFFD.",
    why: "One such event must not fail a day.",
    source: "mongo/bson/bson_validate.cpp (no check of strings by default); the driver's option enableUtf8Validation",
    heldBy: [],
    untried: "the driver can send valid UTF-8 only",
  },
];
