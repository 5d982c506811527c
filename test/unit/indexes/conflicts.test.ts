/** Declarations that exclude each other are told before any server is asked. */
import { describe, expect, test } from "vitest";
import { UsageError } from "../../../src/errors.ts";
import { lintManifest, manifestFaults, warningsOf } from "../../../src/indexes/engines/lint.ts";
import { identityOf } from "../../../src/indexes/engines/mongo/normal-form.ts";
import { parseManifest } from "../../../src/indexes/manifest/load.ts";
import type { Manifest, MongoIndex, PostgresIndex } from "../../../src/indexes/manifest/manifest.ts";
import { refusal } from "../../support/refusal.ts";

function mongo(...indexes: Partial<MongoIndex>[]): Manifest {
  const whole = indexes.map((index, n): MongoIndex => ({ name: `i${n}`, why: "test", keys: [["a", 1]], ...index }));
  return { version: 1, project: "test", mongo: { c: whole } };
}

function postgres(tables: Readonly<Record<string, readonly Partial<PostgresIndex>[]>>): Manifest {
  const whole = Object.entries(tables).map(([table, indexes]) => [
    table,
    indexes.map((index, n): PostgresIndex => ({ name: `${table}_${n}`, why: "test", columns: [`c${n}`], ...index })),
  ]);
  return { version: 1, project: "test", postgres: Object.fromEntries(whole) as Manifest["postgres"] & object };
}

const messages = (manifest: Manifest) => manifestFaults(manifest).map(({ place, message }) => `${place}: ${message}`);
const rolling = { column: "at", keep: "1 month", rotate: "monthly" } as const;

describe("of MongoDB", () => {
  test.each<[string, Partial<MongoIndex>[], RegExp]>([
    ["a TTL", [{}, { expireAfterSeconds: 5 }], /^mongo.c.i1: it has the keys of i0 and .* only in expireAfterSeconds/],
    ["another TTL", [{ expireAfterSeconds: 4 }, { expireAfterSeconds: 5 }], /only in expireAfterSeconds/],
    ["hidden", [{ hidden: true }, {}], /only in hidden/],
    ["nothing", [{}, { keys: [["b", 1]] }, {}], /^mongo.c.i2: it declares the same index as i0; remove one/],
    ["the spelling", [{ partial: { b: 1, c: 2 } }, { partial: { $and: [{ c: 2 }, { b: { $eq: 1 } }] } }], /same index/],
    ["the same window", [{ rolling }, { rolling }], /same index/],
    [
      "weights",
      [{ keys: [["a", "text"]] }, { keys: [["a", "text"]], weights: { a: 2 } }],
      /i0 and i1 are text indexes/,
    ],
  ])("two indexes that differ in %s", (_what, indexes, fault) => {
    const found = messages(mongo(...indexes));
    expect(found).toEqual([expect.stringMatching(fault)]);
  });

  test.each<[string, Partial<MongoIndex>]>([
    ["partial filter", { partial: { b: 1 } }],
    ["sparse", { sparse: true }],
    ["unique", { unique: true }],
  ])("a second index with another %s is warned of, since servers before 5.0 refuse it", (_what, second) => {
    const manifest = mongo({}, second);
    expect(messages(manifest)).toEqual([]);
    const warnings = warningsOf(manifest).filter((line) => line.includes("5.0"));
    expect(warnings).toEqual([
      "mongo.c.i1: it has the keys of i0; MongoDB keeps both from 5.0 on, an older one refuses the second",
    ]);
  });

  test("a second index with other keys or another collation is no conflict on any server", () => {
    const manifest = mongo({}, { keys: [["a", -1]] }, { collation: { locale: "en" } }, { keys: [["a", 1], ["b", 1]] }); // prettier-ignore
    expect(messages(manifest)).toEqual([]);
    expect(warningsOf(manifest).filter((line) => line.includes("5.0"))).toEqual([]);
  });

  test("a server is told from its version to compare keys and collation, or more", () => {
    expect(identityOf([4, 4, 29, 0])).toEqual(["keys", "collation"]);
    expect(identityOf([5, 0, 0, 0])).toContain("partial");
    expect(identityOf([8, 0, 3, 0])).toEqual(identityOf([5, 0]));
  });

  test("names: no limit of length, but none that the server takes for something else", () => {
    expect(messages(mongo({ name: "ü".repeat(100) }))).toEqual([]);
    expect(messages(mongo({ name: "*" }))).toEqual([expect.stringContaining('takes "*" for all indexes')]);
    expect(messages(mongo({ name: "_id_" }))).toEqual([expect.stringContaining("belongs to the index that every")]);
    expect(messages(mongo({ name: "x" }, { name: "x", keys: [["b", 1]] }))).toEqual(["mongo.c.x: declared twice"]);
  });
});

describe("of PostgreSQL", () => {
  test.each<[string, Manifest, RegExp]>([
    [
      "a name on two tables of one schema",
      postgres({ "public.a": [{ name: "x" }], "public.b": [{ name: "x" }] }),
      /^postgres.public.b.x: the name is taken, since public.a declares an index of this name/,
    ],
    [
      "the name of a table of the schema",
      postgres({ "public.b": [{ name: "a" }], "public.a": [{}] }),
      /^postgres.public.b.a: the name is taken, since public.a is a declared table/,
    ],
    ["a name twice on one table", postgres({ "public.a": [{ name: "x" }, { name: "x" }] }), /^\S+: declared twice$/],
    [
      "one definition under two names",
      postgres({ "public.a": [{ columns: ["b"] }, { columns: ["b"] }] }),
      /it declares the same index as public.a_0 of a; remove one/,
    ],
    [
      "the index of a constraint and its equal",
      postgres({
        "public.a": [
          { columns: ["b"], constraint: "unique" },
          { columns: ["b"], unique: true },
        ],
      }),
      /declares the same index/,
    ],
    ["a name over 63 bytes", postgres({ "public.a": [{ name: "ü".repeat(32) }] }), /the name has 64 bytes/],
    [
      "a window's name over 63 bytes",
      postgres({ "public.a": [{ name: "x".repeat(55), rolling }] }),
      /with the suffix of its window the name has 64 bytes/,
    ],
    ["a column over 63 bytes", postgres({ "public.a": [{ columns: ["x".repeat(64)] }] }), /the column's name has 64/],
    [
      "a table over 63 bytes",
      postgres({ [`public.${"x".repeat(64)}`]: [{ name: "y" }] }),
      /the table's name has 64 bytes/,
    ],
    [
      "a schema over 63 bytes",
      postgres({ [`${"x".repeat(64)}.a`]: [{ name: "y" }] }),
      /the schema's name has 64 bytes/,
    ],
    [
      "a table in two spellings",
      postgres({ "public.a": [{ name: "x" }], a: [{ name: "y" }] }),
      /^postgres.a: write it as schema.table; public.a is declared too: move its indexes there/,
    ],
    [
      "a table in quotes",
      postgres({ "public.Order": [{ name: "x" }], 'public."Order"': [{ name: "y" }] }),
      /write it without quotes, as names are quoted for you: public.Order, which is declared too/,
    ],
    [
      "the name of a window",
      postgres({ "public.a": [{ name: "x", rolling }, { name: "x__2026_01" }] }),
      /^postgres.public.a.x__2026_01: its name is that of a window of x, which ensure drops/,
    ],
  ])("%s", (_what, manifest, fault) => {
    expect(messages(manifest)).toEqual([expect.stringMatching(fault)]);
  });

  test("one name in two schemas, and one definition on two tables, are no conflict", () => {
    const manifest = postgres({ "public.a": [{ name: "x" }], "shop.a": [{ name: "x" }], "public.b": [{ name: "y" }] });
    expect(messages(manifest)).toEqual([]);
    const windows = postgres({ "public.a": [{ columns: ["b"], rolling }, { columns: ["b"] }] });
    expect(messages(windows)).toEqual([]);
  });
});

test("every fault in a file has its line and column", () => {
  const text = `version: 1
project: shop
mongo:
  orders:
    - { name: by_a, why: x, keys: [[a, 1]] }
    - name: ttl
      why: x
      keys: [[a, 1]]
      expireAfterSeconds: 60
postgres:
  public.a:
    - { name: one, why: x, columns: [b] }
  public.b:
    - name: one
      why: x
      columns: [{ expr: lower(a }]
      where: a = 1; DROP TABLE b
      with: { "a b": 1 }
      contracts:
        - { name: q, sql: "SELECT 1" }
        - { name: q, sql: "DELETE FROM b" }
  c:
    - { name: two, why: "", columns: [a] }
`;
  const said = refusal(UsageError, () => parseManifest(text, "m.yaml", manifestFaults))?.split("\n") ?? [];
  expect(said.map((line) => line.replace("m.yaml:", ""))).toEqual([
    expect.stringMatching(/^8:7: mongo.orders.ttl: it has the keys of by_a and differs from it only in expireAfter/),
    expect.stringMatching(/^14:7: postgres.public.b.one: the name is taken, since public.a declares/),
    expect.stringMatching(/^16:19: postgres.public.b.one: its expr is not one SQL expression/),
    expect.stringMatching(/^17:7: postgres.public.b.one: its predicate is not one SQL expression/),
    expect.stringMatching(/^18:15: postgres.public.b.one: "a b" is no storage parameter/),
    expect.stringMatching(/^21:11: postgres.public.b.one: contract "q": another contract has this name/),
    expect.stringMatching(/^21:11: postgres.public.b.one: contract "q": it is no SELECT/),
    expect.stringMatching(/^22:3: postgres.c: write it as schema.table$/),
    expect.stringMatching(/^23:20: postgres.c.two: say why it exists/),
  ]);
  expect(() => lintManifest(parseManifest(text, "m.yaml"))).toThrow(/"shop" is wrong:\n {2}postgres.public.b.one: /);
});
