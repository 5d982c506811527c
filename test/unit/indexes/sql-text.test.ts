/** SQL in a manifest is one expression, or it is refused. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { lintManifest } from "../../../src/indexes/engines/lint.ts";
import type { Contract, Manifest, PostgresIndex } from "../../../src/indexes/manifest/manifest.ts";
import { expressionFault, parenthesised, parseOpclass, withoutQuoted } from "../../../src/indexes/manifest/sql-text.ts";
import { holds } from "../../support/property.ts";

describe("one expression", () => {
  test.each([
    "a = 1",
    "kind = 'random'",
    `"current_date" > date '2026-01-01'`,
    "a = ')' AND b = $x$ ; ( $x$",
    `"a;)" = 1`,
    "a = 1 -- only these ;)",
    "a /* ( ; /* nested ) */ ( */ = 1",
    String.raw`a = E'\');' AND b = 1`,
    `a = E'x'\n  ';)\\'' AND (b = 1)`,
    "(a ->> 'n')::int",
    "names'(' = 'x'", // the word ends before the quote, so the quote has no escapes
    "a$b$c = 1 AND b = $$)$$",
    "a = ANY (ARRAY[1, 2])",
    "'x'",
  ])("%s", (text) => {
    expect(expressionFault(text)).toBeUndefined();
  });

  test.each([
    ["kind = 'x'; commit; drop table t", "semicolon"],
    ["a = 1;", "semicolon"],
    ["(a;b)", "semicolon"],
    ["a) OR (b", "parentheses"],
    ["a), (b", "parentheses"],
    ["a) WITH (fillfactor = 10", "parentheses"],
    ["(a", "parentheses"],
    ["a /* *", "does not end"],
    ["a /* /* */", "does not end"],
    ["*/ a /*", "does not end"],
    ["a = 'x", "does not end"],
    [String.raw`a = E'\'`, "does not end"],
    [String.raw`a = '\' ; drop table t --'`, "semicolon"], // a backslash escapes nothing in a plain quote
    [String.raw`type'\'); drop table t --'`, "parentheses"], // nor after a word that ends in e
    [`a = E'x'\n'\\' ; drop table t --'`, undefined], // but in a continued one: all of it is the text
    ["a = $x$ $y$", "does not end"],
    ["$1$a$1$ ; x", "does not end"],
    [`"a`, "does not end"],
    ["a = 1\0; x", "NUL"],
    ["", "empty"],
    ["  -- nothing", "empty"],
  ])("%j: %s", (text, fault) => {
    if (fault === undefined) expect(expressionFault(text)).toBeUndefined();
    else expect(expressionFault(text)).toContain(fault);
  });

  test("property: in parentheses of its own it closes none but its own, whatever stands around it", () => {
    const part = fc.constantFrom(
      ...["a", "(", ")", "'", '"', "--", "/*", "*/", "\n", ";", "\\", "$$", "$x$", "e'", "E", " ", "$1", "b = 1"],
    );
    const text = fc.array(part, { maxLength: 9 }).map((parts) => parts.join(""));
    holds(
      fc.property(text, text, (one, other) => {
        if (expressionFault(one) !== undefined || expressionFault(other) !== undefined) return;
        const both = `f${parenthesised(one)} , ${parenthesised(other)} ; end`;
        // All that is left outside of the parentheses is what was written around the two.
        let bare = withoutQuoted(both);
        for (let shorter = ""; shorter !== bare;) [shorter, bare] = [bare, bare.replace(/\([^()]*\)/g, "")];
        expect(bare.replace(/\s+/g, " ")).toBe("f , ; end");
      }),
      5_000,
    );
  });

  test("a comment at the end does not swallow the closing parenthesis", () => {
    expect(parenthesised("a = 1 -- why")).toBe("(a = 1 -- why\n)");
    expect(parenthesised("a = '--'")).toBe("(a = '--')");
  });
});

test.each([
  ["text_pattern_ops", '"text_pattern_ops"', []],
  ["Public.GIST_trgm_ops (siglen = 32)", '"public"."gist_trgm_ops"', [["siglen", "32"]]],
  ['"My".ops(a=b, c=\'d e\')', '"My"."ops"', [["a", "b"], ["c", "'d e'"]]], // prettier-ignore
  ["DESC", '"desc"', []],
])("operator class %s", (text, name, parameters) => {
  expect(parseOpclass(text)).toEqual({ name, parameters });
});

test.each([
  "",
  "a b",
  "a)",
  "a, b",
  "a (x = 1), b",
  "a (x = (1))",
  "a; drop table t",
  "a --",
  "a (b)",
  "a.b.c",
  "a (x = 'y\\')",
])("no operator class: %j", (text) => {
  expect(parseOpclass(text)).toBeUndefined();
});

describe("a manifest whose text is more than one expression is refused before any server is asked", () => {
  const indexed = (index: Partial<PostgresIndex>): Manifest => ({
    version: 1,
    project: "test",
    postgres: { "public.t": [{ name: "i", why: "test", columns: ["a"], ...index }] },
  });
  const queried = (contract: Partial<Contract>, engine: "mongo" | "postgres" = "mongo"): Manifest => ({
    version: 1,
    project: "test",
    ...{ mongo: {}, postgres: {}, queries: { [engine === "mongo" ? "c" : "public.t"]: [{ name: "q", ...contract }] } },
  });
  test.each<[string, Manifest, string]>([
    [
      "a predicate",
      indexed({ where: "kind = 'x'; commit; drop table ev2" }),
      "its predicate is not one SQL expression",
    ],
    ["an expression", indexed({ columns: [{ expr: "a), (b" }] }), "its expr is not one SQL expression"],
    ["an operator class", indexed({ columns: [{ col: "a", opclass: "text_ops) WITH (x = 1" }] }), "no operator class"],
    ["a storage parameter", indexed({ with: { "fillfactor = 10) WHERE (a": 1 } }), "no storage parameter"],
    ["a number", indexed({ with: { fillfactor: Infinity } }), "must be finite"],
    ["a NUL", indexed({ columns: ["a\0b"] }), "NUL"],
    ["two statements", queried({ sql: "SELECT 1; DROP TABLE t" }, "postgres"), "more than one statement"],
    [
      "a sample",
      queried({ sql: "SELECT $1", params: [{ sample: "1)::text FROM t; --" }] }, "postgres"),
      "is not one SQL expression",
    ],
    ["$out", queried({ aggregate: [{ $match: {} }, { $out: "c" }] }), "$out cannot be in a contract"],
    ["$merge below", queried({ aggregate: [{ $facet: { a: [{ $merge: "c" }] } }] }), "$merge cannot be"],
    [
      "$function in a projection",
      queried({ find: { filter: {}, projection: { x: { $function: {} } } } }),
      "$function cannot be",
    ],
    ["$where in a filter", queried({ count: { $or: [{ a: 1 }, { $where: "sleep(9)" }] } }), "$where cannot be"],
    [
      "$where in a $lookup",
      queried({ aggregate: [{ $lookup: { pipeline: [{ $match: { $where: "1" } }] } }] }),
      "$where",
    ],
    ["$accumulator", queried({ aggregate: [{ $group: { _id: 1, x: { $accumulator: {} } } }] }), "$accumulator"],
    ["$changeStream", queried({ aggregate: [{ $changeStream: {} }] }), "it never ends"],
    ["$where in a partial filter", { ...indexed({}), mongo: { c: [{ name: "i", why: "x", keys: [["a", 1]], partial: { $where: "1" } }] } }, "$where cannot be in a partial filter"], // prettier-ignore
  ])("%s", (_what, manifest, fault) => {
    expect(() => lintManifest(manifest)).toThrow(fault);
  });

  test("words of the clock in quotes and in names are no fault", () => {
    const where = `kind = 'random' AND "current_date" > '2026-01-01' AND "now()" IS NULL`;
    expect(() => lintManifest(indexed({ where }))).not.toThrow();
  });
});
