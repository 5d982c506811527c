import { Int32, Long, ObjectId, UUID } from "mongodb";
import { describe, expect, test } from "vitest";
import { decodeNames, decodeSample, samplePipeline, type SampledGroup } from "../../../src/db/mongo/event-sample.ts";
import { decodeMalformed } from "../../../src/db/mongo/malformed.ts";
import { showId } from "../../../src/db/mongo/show-id.ts";
import { EVENT_FIELDS, type EventField, type FieldMap } from "../../../src/usage/event.ts";
import type { InvisibleReason } from "../../../src/usage/invisible.ts";

const FIELDS = Object.fromEntries(EVENT_FIELDS.map((field) => [field, field])) as FieldMap;
const VISIBLE = { start: 0, end: 1 };

function group(
  reason: InvisibleReason | null,
  types: readonly [tenant: string, createdAt: string],
  n: number,
  sample: unknown,
  lacks: readonly EventField[] = [],
): SampledGroup {
  const has = EVENT_FIELDS.map((field) => [`has_${field}`, new Int32(lacks.includes(field) ? 0 : 1)]);
  const [tenant, createdAt] = types;
  return { _id: { reason, tenant, createdAt }, n: new Int32(n), sample, ...Object.fromEntries(has) } as SampledGroup;
}

describe("a sample", () => {
  test("has one entry for each reason, with the type and the event of its largest group", () => {
    const sample = decodeSample(
      [
        group(null, ["string", "date"], 3, "ok"),
        group("createdAtType", ["string", "int"], 1, "a"),
        group("createdAtType", ["string", "string"], 4, "b"),
        group("createdAtType", ["int", "string"], 2, "c"),
        group("tenantType", ["array", "string"], 9, "d", ["cost"]),
      ],
      FIELDS,
    );
    expect(sample).toEqual({
      events: 19,
      invisible: [
        { reason: "tenantType", events: 9, found: "array", sampleId: '"d"' },
        { reason: "createdAtType", events: 7, found: "string", sampleId: '"b"' },
      ],
      absent: [],
    });
  });

  test("names a field as absent that no group has, under its name in the source; none of an empty collection", () => {
    const fields = { ...FIELDS, cost: "usage.usd" };
    const sample = decodeSample(
      [group(null, ["string", "date"], 3, 1, ["cost"]), group(null, ["int", "date"], 1, 2, ["cost", "model"])],
      fields,
    );
    expect(sample.absent).toEqual([{ field: "cost", path: "usage.usd" }]);
    expect(decodeSample([], fields)).toEqual({ events: 0, invisible: [], absent: [] });
  });

  test("is bounded, and of the newest events or of tenants through their index", () => {
    const stages = (sampled: Parameters<typeof samplePipeline>[0]) =>
      samplePipeline(sampled, VISIBLE, FIELDS).map((stage) => Object.entries(stage)[0]);
    expect(stages({ which: "newest" }).slice(0, 2)).toEqual([
      ["$sort", { _id: -1 }],
      ["$limit", 1_000],
    ]);
    expect(stages({ which: "tenants", tenants: ["a", "7"] }).slice(0, 2)).toEqual([
      ["$match", { tenant_id: { $in: ["a", "7", Long.fromInt(7)] } }],
      ["$limit", 1_000],
    ]);
    expect(stages({ which: "tenantsWithoutDate", tenants: ["a"] })[0]).toEqual([
      "$match",
      { tenant_id: { $in: ["a"] }, created_at: { $not: { $type: "date" } } },
    ]);
  });
});

test("names of fields are listed once, those of subdocuments with their path, and no more than forty", () => {
  const plain = (name: string) => ({ name, inner: [] });
  expect(
    decodeNames([
      { fields: [plain("_id"), plain("cost"), { name: "org", inner: ["id", "unit"] }] },
      { fields: [plain("cost"), plain("org")] },
    ]),
  ).toEqual(["cost", "org.id", "org.unit", "org"]);
  expect(decodeNames([{ fields: Array.from({ length: 100 }, (_, n) => plain(`f${n}`)) }])).toHaveLength(40);
});

test("an _id is shown as mongosh writes it, and never at length", () => {
  expect(showId(new ObjectId("65f0c0ffee65f0c0ffee65f0"))).toBe('ObjectId("65f0c0ffee65f0c0ffee65f0")');
  expect(showId(new UUID("0190a5d2-7c1e-7def-8123-456789abcdef"))).toBe('UUID("0190a5d2-7c1e-7def-8123-456789abcdef")');
  expect(showId('a"b\n')).toBe('"a\\"b\\n"');
  expect(showId(new Int32(7))).toBe("7");
  expect(showId(Long.fromString("7"))).toBe("7");
  expect(showId({ a: new Int32(1) })).toBe('{"a":1}');
  expect(showId("x".repeat(1_000))).toBe(`"${"x".repeat(199)}...`);
});

test("malformed groups are folded by field and reason, with the type and the event of the largest", () => {
  const groups = [
    { _id: "cost|wrongType|bool", n: new Int32(1), sample: "a" },
    { _id: "cost|wrongType|string", n: Long.fromInt(4), sample: "b" },
    { _id: "cost|negative|int", n: new Int32(2), sample: "c" },
    { _id: "completion_tokens|fraction|double", n: new Int32(9), sample: "d" },
  ];
  const expected = [
    { field: "completion_tokens", reason: "fraction", found: "double", events: 9, sampleId: '"d"' },
    { field: "cost", reason: "wrongType", found: "string", events: 5, sampleId: '"b"' },
    { field: "cost", reason: "negative", found: "int", events: 2, sampleId: '"c"' },
  ];
  expect(decodeMalformed(groups)).toEqual(expected);
  expect(decodeMalformed(groups.toReversed())).toEqual(expected);
});
