/** The values of a contract, the statements it may hold, and what its filter proves. */
import fc from "fast-check";
import { Long, ObjectId } from "mongodb";
import { describe, expect, test } from "vitest";
import { UsageError } from "../../../../src/errors.ts";
import type { Contract, Manifest } from "../../../../src/indexes/manifest/manifest.ts";
import { placedContracts } from "../../../../src/indexes/contract/contracts.ts";
import { valueAt } from "../../../../src/indexes/engines/mongo/verify/sample.ts";
import {
  AROUND_MS,
  fillQuery,
  literalPart,
  placeholdersOf,
  valueFor,
} from "../../../../src/indexes/contract/placeholders.ts";
import { lintManifest } from "../../../../src/indexes/engines/lint.ts";
import { conjunctsOf, filterReasons, type TableIndex } from "../../../../src/indexes/engines/postgres/verify/filter.ts";
import { moved, shiftInterval, shiftMs } from "../../../../src/indexes/contract/shift.ts";
import { parameterCount, statementFault } from "../../../../src/indexes/contract/statement.ts";
import { holds } from "../../../support/property.ts";
import { refusal } from "../../../support/refusal.ts";

describe("placeholders", () => {
  const find = {
    filter: {
      tenant: "$p:tenant",
      "social.id": { $eq: "$p:id", $type: "string" },
      at: { $gte: "$p:from", $lt: "$p:to" },
      state: { $in: ["$p:state", "done"] },
      kind: { $in: "$p:kinds" },
      $or: [{ "a.b": "$p:ab" }, { lines: { $elemMatch: { sku: "$p:sku", n: { $gt: "$p:n" } } } }],
      not: { $not: { $lte: "$p:not" } },
      address: { city: "$p:city" },
    },
  };

  test("each placeholder is compared with the field at its place", () => {
    expect(placeholdersOf({ find }).map(({ name, field, role }) => [name, field, role])).toEqual([
      ["tenant", "tenant", "value"],
      ["id", "social.id", "value"],
      ["from", "at", "from"],
      ["to", "at", "below"],
      ["state", "state", "value"],
      ["kinds", "kind", "list"],
      ["ab", "a.b", "value"],
      ["sku", "lines.sku", "value"],
      ["n", "lines.n", "above"],
      ["not", "not", "to"],
      ["city", "address.city", "value"],
    ]);
  });

  test("in a pipeline only $match shows the field; elsewhere the contract must give the value", () => {
    const aggregate = [{ $match: { a: "$p:a" } }, { $project: { x: { $eq: ["$b", "$p:b"] } } }];
    expect(placeholdersOf({ aggregate })).toEqual([
      { name: "a", field: "a", role: "value" },
      { name: "b", field: undefined, role: "value" },
    ]);
  });

  test("filling replaces the placeholders and nothing else, and leaves BSON values as they are", () => {
    const id = new ObjectId();
    const at = new Date(5);
    const filter = { id, at: { $gt: at }, n: { $in: ["$p:x", null] }, text: "$path", long: Long.fromNumber(7) };
    const filled = fillQuery({ count: filter }, () => "X");
    expect(filled).toEqual({ count: { ...filter, n: { $in: ["X", null] } } });
    expect(filled.count?.["id"]).toBe(id);
    expect((filled.count?.["at"] as { $gt: Date }).$gt).toBe(at);
  });

  test("a filter without placeholders is filled with itself", () => {
    const leaf = fc.oneof(
      fc.integer(),
      fc.boolean(),
      fc.constant(null),
      fc.string().filter((text) => !text.startsWith("$p:")),
    );
    const key = fc.oneof(
      fc.constantFrom("$gt", "$in", "$elemMatch", "$not"),
      fc.string({ minLength: 1 }).filter((k) => !k.startsWith("$") && k !== "__proto__"),
    );
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { depthSize: "small" },
        leaf,
        fc.array(tie("tree"), { maxLength: 3 }),
        fc.dictionary(key, tie("tree"), { maxKeys: 3, noNullPrototype: true }),
      ),
    }));
    const plain = fc.dictionary(fc.constantFrom("a", "b", "c"), tree, { noNullPrototype: true });
    holds(
      fc.property(plain, (filter) => void expect(fillQuery({ count: filter }, () => "X")).toEqual({ count: filter })),
    );
  });

  test("the literal part is the conditions that a sampled document has to meet", () => {
    expect(literalPart(find.filter)).toEqual({ "social.id": { $type: "string" } });
    expect(literalPart({ state: "retry", due: { $lte: "$p:now" }, $and: [{ a: 1 }, { b: "$p:b" }] })).toEqual({
      state: "retry",
      $and: [{ a: 1 }],
    });
    expect(literalPart({ $or: [{ a: 1 }, { b: "$p:b" }] })).toEqual({});
  });

  test("bounds lie half a month around a date, beside a number, and around a text", () => {
    const date = new Date(1e12);
    expect(valueFor("from", date)).toEqual(new Date(1e12 - AROUND_MS));
    expect(valueFor("below", date)).toEqual(new Date(1e12 + AROUND_MS));
    expect([valueFor("from", 5), valueFor("above", 5), valueFor("to", 5), valueFor("below", 5)]).toEqual([5, 4, 5, 6]);
    expect(valueFor("below", Long.fromNumber(5))).toEqual(Long.fromNumber(6));
    expect([valueFor("list", "a"), valueFor("value", "a"), valueFor("above", "a")]).toEqual([["a"], "a", ""]);
    const id = new ObjectId();
    expect(valueFor("above", id)).toBe(id);
    // What was sampled is always within.
    holds(
      fc.property(fc.integer(), (n) => {
        expect(Number(valueFor("above", n))).toBeLessThan(n);
        expect(Number(valueFor("below", n))).toBeGreaterThan(n);
      }),
    );
  });

  test("a path leads through documents and into the first member of a list", () => {
    const id = new ObjectId();
    expect(valueAt({ a: { b: [{ c: id }, { c: 2 }] } }, "a.b.c")).toBe(id);
    expect(valueAt({ a: [] }, "a.b")).toBeUndefined();
    expect(valueAt({ a: 1 }, "a.b")).toBeUndefined();
  });
});

test("a shift is milliseconds for one server and an interval for the other", () => {
  expect([shiftMs("-15d"), shiftMs("+2h"), shiftMs("1.5m"), shiftMs("1 month")]).toEqual([
    -1_296_000_000,
    7_200_000,
    90_000,
    undefined,
  ]);
  expect([shiftInterval("-15d"), shiftInterval("84h"), shiftInterval("x")]).toEqual([
    "-15 days",
    "84 hours",
    undefined,
  ]);
  expect(moved(new Date(1000), -1000)).toEqual(new Date(0));
  expect([moved(5, 1), moved("text", 1)]).toEqual([6, undefined]);
});

describe("a statement", () => {
  test.each([
    "SELECT 1",
    "  -- why\n/* and ; how */ WITH a AS (SELECT ';' AS x) SELECT * FROM a;",
    `(SELECT "update t set" FROM t) UNION SELECT $$delete from t; $$`,
    "SELECT E'it\\'s; ', 'for update'",
  ])("a statement that only reads is accepted: %s", (sql) => {
    expect(statementFault(sql)).toBeUndefined();
  });

  test.each([
    ["SELECT 1; DROP TABLE t", "more than one"],
    ["UPDATE t SET a = 1", "no SELECT"],
    ["WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x", "writes"],
    ["WITH x AS (UPDATE ONLY t SET a = 1 RETURNING *) SELECT * FROM x", "writes"],
    ["SELECT * FROM t FOR NO KEY UPDATE", "locks"],
    ["EXPLAIN SELECT 1", "no SELECT"],
    ["", "no SELECT"],
  ])("a statement that does not only read is refused: %s", (sql, fault) => {
    expect(statementFault(sql)).toContain(fault);
  });

  test("the parameters of a statement are counted outside quotes", () => {
    expect(parameterCount("SELECT $1, '$9', $3, $$ $7 $$ FROM t -- $8")).toBe(3);
    expect(parameterCount("SELECT 1")).toBe(0);
  });
});

describe("a filter of PostgreSQL", () => {
  test("a predicate is split into its terms, but not inside quotes", () => {
    expect(conjunctsOf("((status = 'a AND b'::text) AND ((n > 1) AND (m = ANY ('{1,2}'::int[]))))")).toEqual([
      "status = 'a AND b'::text",
      "n > 1",
      "m = ANY ('{1,2}'::int[])",
    ]);
    expect(conjunctsOf("((a = 1) OR (b = 2))")).toEqual(["(a = 1) OR (b = 2)"]);
    expect(conjunctsOf("(a = 'it''s (') AND (\"x AND y\" IS NULL)")).toEqual(["a = 'it''s ('", '"x AND y" IS NULL']);
    expect(conjunctsOf("active")).toEqual(["active"]);
    // Terms put together come apart again.
    const term = fc.constantFrom(
      "a = 1",
      "b = ')('::text",
      "lower(c) = 'x AND y'::text",
      "d IS NOT NULL",
      "(e = 1) OR (f = 2)",
    );
    holds(
      fc.property(fc.array(term, { minLength: 1, maxLength: 5 }), (terms) => {
        const predicate = terms.map((one) => `(${one})`).join(" AND ");
        expect(conjunctsOf(terms.length === 1 ? predicate : `(${predicate})`)).toEqual(terms);
      }),
    );
  });

  const columns = new Map([
    ["customer", "text"],
    ["createdAt", "timestamp with time zone"],
    ["n", "bigint"],
    ["doc", "jsonb"],
  ]);
  const index = (more: Partial<TableIndex>): TableIndex => ({
    name: "i",
    valid: true,
    isWaiting: false,
    tail: "",
    predicate: null,
    method: "btree",
    keys: ["customer"],
    collation: "C",
    columnCollation: "C",
    ...more,
  });
  const reason = (filter: string, more: Partial<TableIndex> = {}) => filterReasons(filter, index(more), columns)[0];

  test.each([
    ["(o.n = 5)", {}, /nothing with the index's first column, customer/],
    ["((o.customers)::text = 'x'::text)", {}, /nothing with the index's first column/],
    ["((o.n)::numeric = 5.5)", { keys: ["n"], collation: null }, /wrong type: n is bigint and is compared as numeric/],
    ["((o.customer)::text = 'x'::text)", {}, /the collation differs/],
    ["(o.customer = 'x'::text COLLATE \"de-x-icu\")", {}, /under "C", the query compares it under "de-x-icu"/],
    ["(o.customer = 'x'::text)", { collation: "C", columnCollation: "default" }, /under "default"/],
    ["(o.customer ~~ 'x%'::text)", { collation: "default", columnCollation: "default" }, /LIKE .* text_pattern_ops/],
    [
      "(o.doc = '{}'::jsonb)",
      { keys: ["doc"], method: "gin", collation: null },
      /a gin index cannot serve this condition/,
    ],
    [
      "((o.\"createdAt\" + '1 day'::interval) > now())",
      { keys: ['"createdAt"'], collation: null },
      /any condition on "createdAt"/,
    ],
  ])("%s against %j", (filter, more, wanted) => {
    expect(reason(filter, more)).toMatch(wanted);
  });
});

describe("contracts", () => {
  const of = (contract: Partial<Contract>, engine: "mongo" | "postgres" = "postgres"): Manifest => {
    const contracts = [{ name: "c", ...contract }];
    return engine === "mongo"
      ? { version: 1, project: "p", mongo: { things: [{ name: "i", why: "w", keys: [["a", 1]], contracts }] } }
      : {
          version: 1,
          project: "p",
          postgres: { "public.things": [{ name: "i", why: "w", columns: ["a"], contracts }] },
        };
  };
  const fault = (manifest: Manifest) => refusal(UsageError, () => lintManifest(manifest));

  test("contracts of indexes come first, then the queries of the selected engines", () => {
    const find = { find: { filter: {} } };
    const manifest: Manifest = {
      ...of({ sql: "SELECT 1" }),
      queries: { things: [{ name: "q", ...find }], "public.things": [{ name: "s", sql: "SELECT 1" }] },
    };
    const names = (one: Manifest) => placedContracts(one).map(({ engine, contract }) => `${engine} ${contract.name}`);
    expect(names(manifest)).toEqual(["postgres c", "postgres s"]);
    expect(names({ ...manifest, mongo: {} })).toEqual(["postgres c", "mongodb q", "postgres s"]);
    expect(names({ version: 1, project: "p", queries: manifest.queries ?? {} })).toEqual(["mongodb q", "postgres s"]);
  });

  test("a good contract has no fault", () => {
    expect(fault(of({ sql: "SELECT $1, $2", params: [{ sample: "a", shift: "-15d" }, null] }))).toBeUndefined();
    expect(fault(of({ find: { filter: { a: "$p:a" } } }, "mongo"))).toBeUndefined();
  });

  test.each([
    [of({}), "needs one query"],
    [of({ sql: "SELECT 1", count: {} }), "needs one query"],
    [of({ count: {} }), "not one for postgres"],
    [of({ sql: "SELECT 1" }, "mongo"), "not one for mongodb"],
    [of({ sql: "DROP TABLE t" }), "no SELECT"],
    [of({ sql: "SELECT $2", params: [1] }), "has 2 parameters, but params gives 1"],
    [of({ sql: "SELECT $1", params: { a: 1 } }), "must be a list"],
    [of({ sql: "SELECT $1", params: [{ sample: "a", shift: "1 month" }] }), 'shift "1 month" is not understood'],
    [of({ find: { filter: { a: "$p:a" } }, params: [1] }, "mongo"), "must be by name"],
    [of({ aggregate: [{ $set: { a: "$p:a" } }] }, "mongo"), '"$p:a" is compared with no field'],
  ])("%#: a faulty contract is named with its place", (manifest, wanted) => {
    expect(fault(manifest)).toContain(wanted);
    expect(fault(manifest)).toContain('things.i: contract "c": ');
  });
});
