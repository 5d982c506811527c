import { inspect } from "node:util";
import { Long, ObjectId, UUID } from "mongodb";
import { describe, expect, test } from "vitest";
import { matchRange, ODD_EVENT, packed, plainPipeline, strictPipeline } from "../../../src/db/mongo/pipeline.ts";
import { tenantsPipeline } from "../../../src/db/mongo/tenants.ts";
import { EVENT_FIELDS, type EventField, type FieldMap } from "../../../src/usage/event.ts";

const OURS = Object.fromEntries(EVENT_FIELDS.map((field) => [field, field])) as FieldMap;
const MAPPED: FieldMap = {
  ...OURS,
  tenant_id: "org",
  user_id: "meta.user",
  created_at: "at",
  cost: "usd",
  total_tokens: "t",
};
const RANGE = { tenant: "acme", start: Date.UTC(2026, 2, 1), end: Date.UTC(2026, 2, 2) };

expect.addSnapshotSerializer({
  test: (value) => typeof value === "object" && value !== null,
  serialize: (value) => inspect(value, { depth: null, breakLength: 118, compact: 5 }),
});

describe("the match of a tenant's range", () => {
  test("asks for the tenant in every type its text can have", () => {
    const tenantOf = (tenant: string) =>
      (matchRange({ ...RANGE, tenant }, OURS) as { tenant_id: { $in?: unknown[] } }).tenant_id;
    expect(tenantOf("acme").$in).toBeUndefined();
    expect(tenantOf("7").$in).toEqual(["7", Long.fromInt(7)]);
    expect(tenantOf("65f0c0ffee65f0c0ffee65f0").$in?.[1]).toBeInstanceOf(ObjectId);
    expect(tenantOf("0190a5d2-7c1e-7def-8123-456789abcdef").$in?.[1]).toBeInstanceOf(UUID);
  });

  test("never reads a text as an operator", () => {
    expect(matchRange({ ...RANGE, tenant: "$where" }, OURS)).toMatchObject({ tenant_id: { $eq: "$where" } });
  });

  test("is of the range, half open, without arrays and symbols", () => {
    expect(matchRange(RANGE, MAPPED)).toMatchSnapshot();
    expect(matchRange({ ...RANGE, tenant: "7" }, OURS)).toMatchSnapshot();
  });

  test("names the fields of the index, in their order", () => {
    expect(Object.keys(matchRange(RANGE, MAPPED))).toEqual(["org", "at"]);
  });
});

test("the plain pipeline", () => {
  expect(plainPipeline(RANGE, OURS)).toMatchSnapshot();
});

test("the mark of an event that is not plain is a 64-bit integer, whatever the driver promotes", () => {
  const [, { $group }] = plainPipeline(RANGE, OURS) as [
    unknown,
    { $group: { n: { $sum: { $cond: [unknown, 1, Long] } } } },
  ];
  const mark = $group.n.$sum.$cond[2];
  expect(mark).toBeInstanceOf(Long);
  expect(mark.toBigInt()).toBe(2n ** 32n + 1n);
  expect(ODD_EVENT).toBe(2 ** 32);
});

test("the strict pipeline", () => {
  expect(strictPipeline(RANGE, OURS)).toMatchSnapshot();
});

/** The same stage with every path to an event's field under its mapped name. */
function renamed(value: unknown): unknown {
  if (typeof value === "string" && value.startsWith("$"))
    return `$${MAPPED[value.slice(1) as EventField] ?? value.slice(1)}`;
  if (Array.isArray(value)) return value.map(renamed);
  if (typeof value !== "object" || value === null || value instanceof Long) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, renamed(member)]));
}

test("both pipelines read every field under its mapped name", () => {
  const match = { $match: matchRange(RANGE, MAPPED) };
  const [, group] = plainPipeline(RANGE, OURS);
  expect(plainPipeline(RANGE, MAPPED)).toEqual([match, renamed(group)]);
  const [, strict] = strictPipeline(RANGE, OURS);
  expect(strictPipeline(RANGE, MAPPED)).toEqual([match, renamed(strict)]);
});

test("groups come packed into one document", () => {
  expect(packed([{ $match: {} }])).toEqual([{ $match: {} }, { $group: { _id: null, groups: { $push: "$$ROOT" } } }]);
});

test("tenants come from the mapped field", () => {
  expect(tenantsPipeline(MAPPED)).toEqual([{ $group: { _id: "$org" } }]);
});
