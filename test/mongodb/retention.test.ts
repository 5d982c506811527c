import type { CreateIndexesOptions, IndexSpecification } from "mongodb";
import { beforeEach, describe, expect, test } from "vitest";
import { readRetention } from "../../src/db/mongo/retention.ts";
import { UsageError } from "../../src/errors.ts";
import { useMongoWorld } from "../support/mongo-world.ts";

const DAY = 86_400;
type Index = [keys: IndexSpecification, options: CreateIndexesOptions];
const TTL = (field: string, seconds: number, options: CreateIndexesOptions = {}): Index => [
  { [field]: 1 },
  { expireAfterSeconds: seconds, ...options },
];

const world = useMongoWorld("retention");
beforeEach(async () => {
  await world.events.dropIndexes();
});

async function retention(indexes: readonly Index[], days?: number, created_at = "created_at") {
  for (const [keys, options] of indexes) await world.events.createIndex(keys, options);
  return readRetention(world.events, { ...world.config.eventsFields, created_at }, days);
}

describe("events are kept", () => {
  test.each<[string, Index[], number | undefined, number | undefined]>([
    ["for ever, where nothing says else", [], undefined, undefined],
    ["for ever, where the index has no TTL", [[{ created_at: 1 }, {}]], undefined, undefined],
    ["as long as the TTL says", [TTL("created_at", 30 * DAY)], undefined, 30 * DAY],
    ["as long as a descending one says", [[{ created_at: -1 }, { expireAfterSeconds: 7 }]], undefined, 7],
    ["as long as the setting says", [], 30, 30 * DAY],
    ["as the TTL says, where that is stricter", [TTL("created_at", 10)], 30, 10],
    ["as the setting says, where that is stricter", [TTL("created_at", 31 * DAY)], 30, 30 * DAY],
    ["for no time, where the TTL says 0", [TTL("created_at", 0)], 30, 0],
    [
      "as a partial TTL says: it eats a part of each day",
      [TTL("created_at", 60, { partialFilterExpression: { provider: "x" } })],
      90,
      60,
    ],
    [
      "as the strictest of several says",
      [TTL("created_at", 50), [{ created_at: -1 }, { expireAfterSeconds: 40 }]],
      undefined,
      40,
    ],
    ["as the setting says, where a TTL on another field says nothing of days", [TTL("expires", 0)], 30, 30 * DAY],
    ["as the stricter TTL says beside one on another field", [TTL("expires", 0), TTL("created_at", 5)], 30, 5],
  ])("%s", async (_, indexes, days, expected) => {
    expect(await retention(indexes, days)).toBe(expected);
  });

  test("by the field that is mapped", async () => {
    expect(await retention([TTL("meta.at", 60)], undefined, "meta.at")).toBe(60);
  });
});

describe("without the setting, it cannot be told", () => {
  test.each<[string, Index[], string]>([
    ["from a TTL on another field", [TTL("expires", 3_600)], "created_at"],
    ["from a partial one either", [TTL("expires", 60, { partialFilterExpression: { provider: "x" } })], "created_at"],
    [
      "from one on another field, though there is one on the right one",
      [TTL("created_at", 5), TTL("expires", 9)],
      "created_at",
    ],
    ["from one on created_at, where that is not the event's time", [TTL("created_at", 5)], "meta.at"],
  ])("%s", async (_, indexes, field) => {
    const asked = retention(indexes, undefined, field);
    await expect(asked).rejects.toBeInstanceOf(UsageError);
    await expect(asked).rejects.toThrow(/TTL on \w+, .* Set EVENTS_RETENTION_DAYS/);
  });
});
