import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Decimal128, Long, ObjectId } from "mongodb";
import { afterAll, describe, expect, test } from "vitest";
import { MANIFESTS } from "../../../manifests/index.ts";
import { UsageError } from "../../../src/errors.ts";
import { loadManifest } from "../../../src/indexes/index.ts";
import { manifestText, parseManifest } from "../../../src/indexes/manifest/load.ts";
import type { Manifest, MongoIndex, PostgresIndex } from "../../../src/indexes/manifest/manifest.ts";
import { unprovenTerms } from "../../../src/indexes/engines/mongo/verify/implied.ts";
import { holds } from "../../support/property.ts";
import fc from "fast-check";
import { refusal } from "../../support/refusal.ts";

const folder = mkdtempSync(join(tmpdir(), "manifests-"));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** What the loader says of a text, a line each, without the file's name. */
function faults(text: string, name = "m.yaml"): string[] {
  const said = refusal(UsageError, () => parseManifest(text, name));
  return said?.split("\n").map((line) => line.replace(`${name}:`, "")) ?? [];
}

const SMALL = `
version: 1
project: shop
mongo:
  orders:
    - name: recent
      why: newest orders
      keys: [[status, 1], ["2024", -1], [created_at, -1]]
      partial:
        created_at: { $gte: { $date: "2026-01-01T00:00:00Z" } }
        status: { $regularExpression: { pattern: "^open", options: i } }
postgres:
  public.Order:
    - name: by_customer
      why: a customer's orders
      columns: [customerId, { col: createdAt, desc: true }]
`;

test("a manifest is read from a YAML file and from an equal JSON file", async () => {
  const expected: Manifest = {
    version: 1,
    project: "shop",
    mongo: {
      orders: [
        {
          name: "recent",
          why: "newest orders",
          keys: [
            ["status", 1],
            ["2024", -1],
            ["created_at", -1],
          ],
          partial: { created_at: { $gte: new Date("2026-01-01") }, status: /^open/i },
        },
      ],
    },
    postgres: {
      "public.Order": [
        { name: "by_customer", why: "a customer's orders", columns: ["customerId", { col: "createdAt", desc: true }] },
      ],
    },
  };
  expect(parseManifest(SMALL, "m.yml")).toEqual(expected);
  expect(parseManifest(manifestText(expected, "json"), "m.json")).toEqual(expected);
  const { postgres } = expected as Required<Manifest>;
  const path = file("shop.yaml", manifestText({ version: 1, project: "shop", postgres }));
  expect(await loadManifest(path)).toEqual({ version: 1, project: "shop", postgres });
});

describe("all faults are reported at once, with their places", () => {
  test("of the schema", () => {
    const text = `version: 2
project: shop
indices: {}
mongo:
  orders:
    - name: a
      background: true
      why: 3
      keys: [[a, 1], [b, 2], c]
      unique: sometimes
      contracts:
        - name: x
          find: { filter: { at: { $date: nope } }, sort: { 2024: 1, a: -1 } }
          params: { p: { sampl: a } }
postgres:
  public.t:
    - { name: p, why: y, columns: [{ col: a, asc: true }, { col: b, expr: c }, 3] }
`;
    expect(faults(text)).toEqual([
      "1:1: version: Invalid input: expected 1",
      "3:1: indices: there is no such key",
      "7:7: mongo.orders.0.background: there is no such key: servers since 4.2 ignore it, leave it out",
      "8:7: mongo.orders.0.why: Invalid input: expected string, received number",
      '9:26: mongo.orders.0.keys.1.1: Invalid option: expected one of 1|-1|"text"|"hashed"|"2dsphere"|"2d"',
      "9:30: mongo.orders.0.keys.2: Invalid input: expected tuple, received string",
      "10:7: mongo.orders.0.unique: Invalid input: expected boolean, received string",
      "13:29: mongo.orders.0.contracts.0.find.filter.at: $date cannot be read: no such date",
      '13:60: the field "2024" would not keep its place in a sort of several fields',
      "14:21: mongo.orders.0.contracts.0.params.p.sample: Invalid input: expected string, received undefined",
      "14:26: mongo.orders.0.contracts.0.params.p.sampl: there is no such key",
      "17:46: postgres.public.t.0.columns.0.asc: there is no such key",
      "17:69: postgres.public.t.0.columns.1.expr: a column has either col or expr",
      "17:80: postgres.public.t.0.columns.2: it must be a column's name, or an object with col or expr",
    ]);
  });

  test("duplicate keys are reported together with other faults", () => {
    expect(faults("version: 1\nproject: a\nproject: b\nmango: {}\n")).toEqual([
      "3:1: Map keys must be unique",
      "4:1: mango: there is no such key",
    ]);
    expect(faults('{"version": 1, "project": "a",\n "project": "b"}', "m.json")).toEqual([
      "2:2: Map keys must be unique",
    ]);
  });

  test.each([
    ["", "1:1: Invalid input: expected object, received null"],
    ["version: 1\nproject: [a\n", "3:1: "],
    ["version: 1\nproject: a\n---\nversion: 1\n", "3:1: "],
    ["version: 1\nproject: a\n7: b\n", "3:1: 7: there is no such key"],
    ["version: 1\nproject: *nothing\n", '2:10: there is no anchor "nothing"'],
    [
      "a: &a [x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b]\nd: [*c, *c, *c]\n",
      "Excessive alias",
    ],
  ])("of the syntax: %j", (text, place) => {
    expect(faults(text)[0]).toContain(place);
  });

  test("a .json file must be JSON, not just YAML", () => {
    expect(faults('{"version": 1,\n "project": "a",}', "m.json")).toEqual([expect.stringMatching(/^2:\d+: /)]);
    expect(faults("{version: 1, project: a}", "m.json")[0]).toMatch(/^1:\d+: /);
  });
});

test("a bad file name, a missing file and a faulty index are usage errors that name the file or the index", async () => {
  await expect(loadManifest("shop")).rejects.toThrow(/"shop" is neither/);
  await expect(loadManifest(join(folder, "none.yaml"))).rejects.toThrow(/none.yaml cannot be read/);
  const path = file("bad.yaml", "version: 1\nproject: bad\nmongo: { c: [{ name: a, why: x, keys: [] }] }\n");
  await expect(loadManifest(path)).rejects.toThrow(/bad.yaml:3:33: mongo.c.a: no keys/);
});

test("objects in a filter stay objects unless they are extended JSON, and only a sort's keys have an order", () => {
  const text = `version: 1
project: a
mongo:
  c:
    - name: a
      why: x
      keys: [[a, 1]]
      contracts:
        - { name: q, find: { filter: { 2024: 1, a: { $oid: text, b: 1 } }, sort: { 2024: 1 } } }
`;
  const [index] = parseManifest(text, "m.yaml").mongo?.["c"] ?? [];
  expect(index?.contracts?.[0]?.find).toEqual({ filter: { 2024: 1, a: { $oid: "text", b: 1 } }, sort: { 2024: 1 } });
});

describe("a manifest's text loads back equal", () => {
  const names = { collection: "events", fields: { tenant_id: "t", user_id: "u", created_at: "at" } };
  test.each(Object.keys(MANIFESTS))("of %s", (name) => {
    const manifest = (MANIFESTS[name] as (typeof MANIFESTS)[string])(names);
    expect(parseManifest(manifestText(manifest), "m.yaml")).toEqual(manifest);
    expect(manifestText(manifest)).not.toMatch(/ [&*]a\d/); // said twice rather than by reference
    expect(parseManifest(manifestText(manifest, "json"), "m.json")).toEqual(manifest);
  });

  const leaf = fc.oneof(
    fc.string(),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.date({ noInvalidDate: true }),
    fc.constantFrom(
      /^a/,
      /b.c/i,
      new ObjectId("64b7f0c2a1d3e4f5a6b7c8d9"),
      Decimal128.fromString("0.10"),
      Long.MAX_VALUE,
    ),
  );
  const word = fc.stringMatching(/^[a-z][a-z0-9_.]{0,8}$/);
  const filter = fc.dictionary(
    word,
    fc.oneof(leaf, fc.record({ $gte: leaf, $regex: fc.string() }), fc.record({ $in: fc.array(leaf) })),
    { maxKeys: 3, noNullPrototype: true },
  );
  const text = fc.string();
  const mongoIndex: fc.Arbitrary<MongoIndex> = fc.record(
    {
      name: text,
      why: text,
      keys: fc.array(fc.tuple(text, fc.constantFrom<MongoIndex["keys"][number][1][]>(1, -1, "text", "2dsphere"))),
      partial: filter,
      phase: fc.constantFrom<(1 | 2 | 3)[]>(1, 2, 3),
      unique: fc.constant<true>(true),
      expireAfterSeconds: fc.nat(),
      note: text,
    },
    { requiredKeys: ["name", "why", "keys"], noNullPrototype: true },
  );
  const postgresIndex: fc.Arbitrary<PostgresIndex> = fc.record(
    {
      name: text,
      why: text,
      columns: fc.array(
        fc.oneof(text, fc.record({ col: text, desc: fc.constant<true>(true) }, { noNullPrototype: true })),
      ),
      where: text,
      include: fc.array(text),
    },
    { requiredKeys: ["name", "why", "columns"], noNullPrototype: true },
  );
  const manifest: fc.Arbitrary<Manifest> = fc.record(
    {
      version: fc.constant<1>(1),
      project: text,
      mongo: fc.dictionary(word, fc.array(mongoIndex, { maxLength: 3 }), { maxKeys: 2, noNullPrototype: true }),
      postgres: fc.dictionary(word, fc.array(postgresIndex, { maxLength: 3 }), { maxKeys: 2, noNullPrototype: true }),
    },
    { requiredKeys: ["version", "project"], noNullPrototype: true },
  );

  test("property: of any manifest", () => {
    holds(
      fc.property(manifest, (one) => {
        expect(parseManifest(manifestText(one), "m.yaml")).toEqual(one);
        expect(parseManifest(manifestText(one, "json"), "m.json")).toEqual(one);
      }),
    );
  });
});

test("the manifest in the documentation is valid, and its queries imply the filters of their indexes", async () => {
  const text = await readFile(new URL("../../../docs/indexes.md", import.meta.url), "utf8");
  const [, example = "", fragment = ""] = text.split(/^```yaml\n/m).map((part) => part.split(/^```$/m)[0] ?? "");
  const shop = await loadManifest(file("shop.yaml", example));
  const filters = Object.values(shop.mongo ?? {}).flatMap((indexes) =>
    indexes.flatMap(({ partial = {}, contracts = [] }) =>
      contracts.map(({ find }) => unprovenTerms(partial, find?.filter ?? {}, false)),
    ),
  );
  expect(filters).toEqual([[]]);
  const indexes = fragment.replaceAll(/^/gm, "    ");
  await loadManifest(file("fragment.yaml", `version: 1\nproject: shop\npostgres:\n  public.Order:\n${indexes}`));
});
