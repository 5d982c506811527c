import { describe, expect, test } from "vitest";
import { lintManifest } from "../../../src/indexes/engines/lint.ts";
import type { Manifest, MongoIndex, PostgresIndex } from "../../../src/indexes/manifest/manifest.ts";
import { manifestWarnings } from "../../../src/indexes/manifest/warnings.ts";

const find = (filter: Record<string, unknown>) => [{ name: "q", find: { filter } }];

function mongo(...indexes: Partial<MongoIndex>[]): Manifest {
  const whole = indexes.map((index, n): MongoIndex => ({ name: `i${n}`, why: "test", keys: [["a", 1]], ...index }));
  return { version: 1, project: "test", mongo: { c: whole } };
}

function postgres(index: Partial<PostgresIndex>): Manifest {
  return {
    version: 1,
    project: "test",
    postgres: { "public.t": [{ name: "i", why: "test", columns: ["a"], ...index }] },
  };
}

describe("a declaration that no server accepts is a fault that says what to write instead", () => {
  test.each<[string, Record<string, unknown>, RegExp]>([
    ["$exists: false", { deleted_at: { $exists: false } }, /write \{ field: null \}/],
    ["$ne", { a: { $ne: 1 } }, /\$ne cannot .* \$in, or a range/],
    ["$nin", { a: { $nin: [1] } }, /\$nin cannot/],
    ["$not", { a: { $not: { $gt: 1 } } }, /\$not cannot/],
    ["$regex", { a: { $regex: "^x" } }, /\$regex cannot .* \$gt: "" /],
    ["a regular expression", { a: /^x/ }, /\$regex cannot/],
    ["one below $and", { $and: [{ a: 1 }, { b: { $ne: 2 } }] }, /\$ne cannot/],
  ])("%s in a partial filter", (_what, partial, message) => {
    expect(() => lintManifest(mongo({ partial }))).toThrow(message);
  });

  test("a name may have any length in MongoDB, and 63 bytes in PostgreSQL, which cuts it", () => {
    const name = "n".repeat(64);
    expect(() => lintManifest(mongo({ name }))).not.toThrow();
    expect(() => lintManifest(postgres({ name }))).toThrow(/63/);
  });

  test.each<[string, Partial<MongoIndex>, RegExp]>([
    ["bits of no 2d index", { bits: 20 }, /options of a 2d index/],
    ["a precision over 32", { keys: [["g", "2d"]], bits: 33 }, /bits must be 1 to 32/],
    ["an empty range", { keys: [["g", "2d"]], min: 200 }, /min must be below max/],
  ])("%s", (_what, index, message) => {
    expect(() => lintManifest(mongo(index))).toThrow(message);
    expect(() => lintManifest(mongo({ keys: [["g", "2d"]], bits: 20, min: -1, max: 1 }))).not.toThrow();
  });

  test("partial filters that servers accept are no fault", () => {
    const partial = { a: { $exists: true }, b: { $gt: "" }, c: null, d: { $type: "string" }, e: { $gte: new Date(0) } };
    expect(() => lintManifest(mongo({ partial }))).not.toThrow();
  });

  test("two text indexes of one collection are a fault", () => {
    const text = { keys: [["a", "text"]] } as const;
    expect(() => lintManifest(mongo(text, text))).toThrow("i0 and i1 are text indexes");
    expect(() => lintManifest(mongo(text))).not.toThrow();
  });

  test("a contract needs one query, a name of its own, and a reason where no index helps", () => {
    const contracts = [
      { name: "none" },
      { name: "two", count: {}, find: { filter: {} } },
      { name: "twice", count: {} },
      { name: "twice", count: {} },
      { name: "why", mode: "cannot" as const, count: {} },
    ];
    const manifest = { ...mongo({ contracts }), queries: { c: [{ name: "none" }] } };
    expect(() => lintManifest(manifest)).toThrow(
      [
        `mongo.c.i0: contract "none": it needs one query: find, count, aggregate or sql`,
        `mongo.c.i0: contract "two": it needs one query: find, count, aggregate or sql`,
        `mongo.c.i0: contract "twice": another contract has this name`,
        `mongo.c.i0: contract "why": it has mode "cannot" and must give the reason in because`,
        `queries.c: contract "none": it needs one query: find, count, aggregate or sql`,
      ].join("\n  "),
    );
  });
});

describe("a declaration that servers accept but is doubtful is a warning", () => {
  const served = { contracts: find({ a: "$p:a" }) };
  const fields = (...names: string[]) => names.map((name): [string, 1] => [name, 1]);

  test.each<[string, Manifest, RegExp[]]>([
    ["nothing of an ordinary index", mongo({ ...served, keys: fields("a", "b") }), []],
    ["no contract", mongo({}), [/mongo.c.i0: it has no contract/]],
    [
      "one that only says what does not work",
      mongo({ contracts: [{ name: "q", mode: "cannot", because: "x", count: {} }] }),
      [/no contract/],
    ],
    ["none for what is checked only", mongo({ checked: true }), []],
    ["six keys", mongo({ ...served, keys: fields("a", "b", "c", "d", "e", "f") }), [/6 columns/]],
    [
      "a key with one value",
      mongo({ ...served, keys: fields("a", "b"), partial: { b: "x" } }),
      [/b is a key but has a single value/],
    ],
    [
      "a range before an equality",
      mongo({ keys: fields("at", "status"), contracts: find({ at: { $gte: 1 }, status: "x" }) }),
      [/status after at/],
    ],
    [
      "not the right order",
      mongo({ keys: fields("status", "at"), contracts: find({ at: { $gte: 1 }, status: { $in: ["x"] } }) }),
      [],
    ],
    [
      "a date that stays",
      mongo({ ...served, partial: { at: { $gte: new Date(0) } } }),
      [/is fixed, so the index grows/],
    ],
  ])("MongoDB: %s", (_what, manifest, warnings) => {
    expect(manifestWarnings(manifest)).toEqual(warnings.map((warning): unknown => expect.stringMatching(warning)));
  });

  const sql = (text: string) => ({ contracts: [{ name: "q", sql: text }] });
  test.each<[string, Manifest, RegExp[]]>([
    ["nothing of an ordinary index", postgres(sql("SELECT 1 FROM t WHERE a = $1")), []],
    ["six columns", postgres({ ...sql("SELECT 1"), columns: ["a", "b", "c", "d", "e", "f"] }), [/6 columns/]],
    [
      "a column with one value",
      postgres({ ...sql("SELECT 1"), columns: ["nextRetryAt", "status"], where: "status = 'RETRYING'" }),
      [/status is a key/],
    ],
    ["not one of several", postgres({ ...sql("SELECT 1"), columns: ["status"], where: "status IN ('A', 'B')" }), []],
    [
      "a range before an equality",
      postgres({ ...sql(`SELECT 1 FROM t WHERE "createdAt" >= $1 AND type = 'x'`), columns: ["createdAt", "type"] }),
      [/type after createdAt/],
    ],
    [
      "not the right order",
      postgres({ ...sql("SELECT 1 FROM t WHERE a = $1 AND date BETWEEN $2 AND $3"), columns: ["a", "date"] }),
      [],
    ],
  ])("PostgreSQL: %s", (_what, manifest, warnings) => {
    expect(manifestWarnings(manifest)).toEqual(warnings.map((warning): unknown => expect.stringMatching(warning)));
  });
});
