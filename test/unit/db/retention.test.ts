import { expect, test } from "vitest";
import { retentionOf, type TtlAnswers } from "../../../src/db/mongo/retention.ts";
import { EVENT_FIELDS, type FieldMap } from "../../../src/usage/event.ts";

const FIELDS = Object.fromEntries(EVENT_FIELDS.map((field) => [field, field])) as FieldMap;
const BY_ID = { key: { _id: 1 } };

function retention(answers: Partial<TtlAnswers>, days?: number) {
  const plain = { collection: "events", indexes: [BY_ID], options: {}, version: [8, 0, 4, 0] };
  return retentionOf({ ...plain, ...answers }, FIELDS, days);
}

/** Server versions, and what NaN means there, in seconds; undefined = no event is ever deleted. */
test.each<[number[], number | undefined]>([
  [[4, 4, 29, 0], undefined],
  [[5, 0, 0, 0], 0],
  [[5, 0, 13, 0], 0],
  [[5, 0, 14, 0], undefined],
  [[5, 3, 2, 0], 0],
  [[6, 0, 1, 0], 0],
  [[6, 0, 2, 0], undefined],
  [[6, 1, 0, 0], undefined],
  [[7, 0, 5, 0], undefined],
  [[8, 0, 4, 0], undefined],
])("a TTL of NaN on %j means %j", (version, seconds) => {
  const indexes = [BY_ID, { key: { created_at: 1 }, expireAfterSeconds: NaN }];
  expect(retention({ indexes, version })).toBe(seconds);
  expect(retention({ indexes, version }, 30)).toBe(Math.min(seconds ?? Infinity, 30 * 86_400));
});

test("a TTL of 68 years, which servers store for NaN, deletes nothing", () => {
  expect(retention({ indexes: [{ key: { created_at: 1 }, expireAfterSeconds: 2_147_483_647 }] })).toBeUndefined();
  expect(retention({ indexes: [{ key: { other: 1 }, expireAfterSeconds: 2_147_483_647 }] })).toBeUndefined();
});

test("a clustered collection has its TTL in its options, and it deletes by _id", () => {
  const clusteredIndex = { v: 2, key: { _id: 1 }, name: "_id_", unique: true };
  const indexes = [{ ...clusteredIndex, clustered: true }, { key: { tenant_id: 1, created_at: -1 } }];
  expect(retention({ indexes, options: { clusteredIndex } })).toBeUndefined();
  const options = { clusteredIndex, expireAfterSeconds: 3_600 };
  expect(() => retention({ indexes, options })).toThrow(/events has a TTL on _id, .* Set EVENTS_RETENTION_DAYS/);
  expect(retention({ indexes, options }, 10)).toBe(10 * 86_400);
});
