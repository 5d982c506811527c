/** A manifest of what a database has: read on one, it builds the same on another that has the same tables. */
import type { Document } from "mongodb";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { SAMPLE_DATA } from "../../../manifests/data/index.ts";
import { MANIFESTS } from "../../../manifests/index.ts";
import { migrate } from "../../../src/db/postgres/migrate.ts";
import { discoverIndexes } from "../../../src/indexes/discover/discover.ts";
import { ensureIndexes } from "../../../src/indexes/ensure/ensure.ts";
import { parseManifest } from "../../../src/indexes/manifest/load.ts";
import { WHY_UNKNOWN } from "../../../src/indexes/manifest/reserved.ts";
import { manifestWarnings } from "../../../src/indexes/manifest/warnings.ts";
import { EVENT_FIELDS, type FieldMap } from "../../../src/usage/event.ts";
import { run } from "../../support/process.ts";
import { useWorld } from "../../support/world.ts";
import { scratch, type Scratch } from "./scratch.ts";

const fields = Object.fromEntries(EVENT_FIELDS.map((field) => [field, field])) as FieldMap;

/** Every index of both databases by its place, as the servers define it; without the keeper's own. */
async function catalogOf({ sql, mongo }: Scratch): Promise<Record<string, unknown>> {
  const { rows } = await sql.query<{ place: string; definition: string }>(
    `SELECT schemaname || '.' || tablename || ' ' || indexname AS place, indexdef AS definition FROM pg_indexes
      WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND tablename NOT LIKE 'tallyman_index_%'`,
  );
  const catalog: Record<string, unknown> = Object.fromEntries(rows.map(({ place, definition }) => [place, definition]));
  for (const { name } of await mongo.listCollections().toArray()) {
    if (name === "_index_ledger") continue;
    const indexes = (await mongo.collection(name).listIndexes().toArray()) as Document[];
    for (const index of indexes) catalog[`${name} ${index["name"]}`] = JSON.stringify(index);
  }
  return catalog;
}

describe.each(Object.keys(MANIFESTS))("of a database made by the manifest %s", (name) => {
  let places: Scratch[] = [];
  afterEach(async () => {
    await Promise.all(places.map((place) => place.drop()));
    places = [];
  });

  /** The tables and collections, without rows and without the manifest's indexes. */
  async function prepared(): Promise<Scratch> {
    const place = await scratch();
    places.push(place);
    if (name === "usage") await migrate(place.databaseUrl, "up");
    await SAMPLE_DATA[name]?.prepare(place);
    return place;
  }

  test("it declares every index, and builds an equal catalog elsewhere", async () => {
    const [from, to] = [await prepared(), await prepared()];
    const made = MANIFESTS[name]?.({ collection: "token_usage_events", fields });
    if (!made) throw new Error(name);
    const built = await ensureIndexes({ ...from, manifest: { ...made, createCollections: true } });
    expect(built.ok).toBe(true);
    const before = await catalogOf(from);
    const { yaml, targets } = await discoverIndexes(from);
    expect(await catalogOf(from)).toEqual(before);
    expect(targets.flatMap(({ leftOut }) => leftOut)).toEqual([]);

    const manifest = parseManifest(yaml, "found.yaml");
    for (const collection of Object.keys(manifest.mongo ?? {})) {
      if ((await to.mongo.listCollections({ name: collection }).toArray()).length === 0) {
        await to.mongo.createCollection(collection);
      }
    }
    const report = await ensureIndexes({ ...to, manifest });
    expect(report.entries.filter(({ action }) => action !== "created" && action !== "present")).toEqual([]);
    expect(report.entries.some(({ action }) => action === "created")).toBe(true);
    expect(await catalogOf(to)).toEqual(before);
  });
});

describe("discover", () => {
  let own: Scratch;
  beforeAll(async () => {
    own = await scratch();
  });
  afterAll(() => own.drop());
  beforeEach(async () => {
    await own.mongo.dropDatabase();
    await own.sql.query("DROP SCHEMA public CASCADE; DROP SCHEMA IF EXISTS shop CASCADE; CREATE SCHEMA public");
  });

  const of = (yaml: string, key: string) => yaml.slice(yaml.indexOf(`${key}:`));

  test("says what every option of PostgreSQL is, and marks what belongs to constraints", async () => {
    await own.sql.query(`
      CREATE TABLE "Order" (id int PRIMARY KEY, "customerId" text, state text COLLATE "C" UNIQUE, data jsonb, at timestamptz, n int);
      CREATE UNIQUE INDEX one ON "Order" ("customerId" DESC NULLS LAST, state COLLATE "POSIX" text_pattern_ops, n NULLS FIRST)
        INCLUDE (at) NULLS NOT DISTINCT WITH (fillfactor = 70) WHERE state <> 'x''y';
      CREATE INDEX two ON "Order" USING gin (data jsonb_path_ops) WITH (fastupdate = off);
      CREATE INDEX three ON "Order" (lower("customerId"), (n + 1) DESC);
      CREATE INDEX four ON "Order" USING brin (n int4_minmax_multi_ops (values_per_range = 16));
      COMMENT ON INDEX two IS 'search of the shop';
      CLUSTER "Order" USING three`);
    const { yaml, manifest, targets } = await discoverIndexes(own);
    expect(targets).toMatchObject([{ target: "public.Order", leftOut: [] }]);
    const why = WHY_UNKNOWN;
    expect(manifest.postgres).toEqual({
      "public.Order": [
        { name: "Order_pkey", why, columns: ["id"], constraint: "primary" },
        { name: "Order_state_key", why, columns: ["state"], constraint: "unique" },
        {
          ...{ name: "four", why, method: "brin" },
          columns: [{ col: "n", opclass: "int4_minmax_multi_ops (values_per_range = 16)" }],
        },
        {
          ...{ name: "one", why, unique: true, nullsNotDistinct: true, include: ["at"], with: { fillfactor: 70 } },
          columns: [
            { col: "customerId", desc: true, nulls: "last" },
            { col: "state", opclass: "text_pattern_ops", collate: "POSIX" },
            { col: "n", nulls: "first" },
          ],
          where: "(state <> 'x''y'::text)",
        },
        { name: "three", why, columns: [{ expr: 'lower("customerId")' }, { expr: "(n + 1)", desc: true }] },
        {
          ...{ name: "two", why: "search of the shop", method: "gin", with: { fastupdate: "off" } },
          columns: [{ col: "data", opclass: "jsonb_path_ops" }],
        },
      ],
    });
    expect(parseManifest(yaml, "found.yaml")).toEqual(manifest);
    expect(yaml).toMatch(/ {2}# 0 rows, [\d.]+ k?B; its indexes [\d.]+ kB\n(?: {2}#.*\n)*? {2}public\.Order:\n/);
    expect(yaml).toMatch(/# .*kB, 0 scans since .*\n\s+# .*\n?(?:\s+#.*\n)*?\s+- name: Order_pkey/);
    expect(yaml).toMatch(/# of the constraint Order_state_key, so it is only checked\n\s+- name: Order_state_key/);
    expect(yaml).toMatch(/# the table is clustered on it, which is not declared\n\s+- name: three/);
    expect(manifestWarnings(manifest).filter((line) => line.includes("why is still to be written")).length).toBe(5);
  });

  test("leaves out what no manifest can declare, with the reason and the definition", async () => {
    await own.sql.query(`
      CREATE TABLE booking (room int, during tsrange, EXCLUDE USING gist (during WITH &&));
      CREATE INDEX "x__tallyman_new" ON booking (room);
      CREATE COLLATION public.mine FROM "C"; CREATE SCHEMA shop; CREATE COLLATION shop.hers FROM "C";
      CREATE TABLE dup (a int); INSERT INTO dup VALUES (1), (1);
      CREATE TABLE names (a text); CREATE INDEX by_hers ON names (a COLLATE shop.hers)`);
    await own.sql.query("CREATE UNIQUE INDEX CONCURRENTLY broken ON dup (a)").catch(() => undefined);
    const { yaml, manifest, targets } = await discoverIndexes({ ...own, engine: "postgres" });
    expect(manifest.postgres).toBeUndefined();
    const reasons = targets.flatMap(({ leftOut }) => leftOut.map(({ name, why }) => [name, why]));
    expect(Object.fromEntries(reasons)).toEqual({
      booking_during_excl: "of the exclusion constraint booking_during_excl, which a manifest cannot declare",
      x__tallyman_new: expect.stringContaining("the keeper uses this ending") as string,
      broken: expect.stringMatching(/^it is invalid, so no query uses it/) as string,
      by_hers: expect.stringMatching(/^its declaration is unusable: .*hers/) as string,
    });
    for (const [name] of reasons) expect(yaml).toContain(`not declared: ${name}: `);
    expect(yaml).toContain("#     CREATE INDEX booking_during_excl ON public.booking USING gist (during)");
    expect(parseManifest(yaml, "found.yaml")).toEqual(manifest);
  });

  test("says what every option of MongoDB is", async () => {
    const create = (spec: Document) => own.mongo.command({ createIndexes: "events", indexes: [spec] });
    await create({ name: "plain", key: { a: 1, "b.c": -1 }, unique: true, sparse: true });
    await create({ name: "gone", key: { at: 1 }, expireAfterSeconds: 60 });
    await create({ name: "some", key: { a: -1 }, partialFilterExpression: { at: { $gt: new Date(0) } } });
    await create({ name: "words", key: { a: 1, t: "text" }, weights: { u: 3 }, default_language: "french" });
    await create({ name: "wild", key: { "$**": 1 }, wildcardProjection: { "a.b": 1, c: 1 } });
    await create({ name: "near", key: { g: "2d" }, bits: 20, min: -10, max: 10 });
    await create({ name: "1 as a field", key: { "1": 1, z: 1 } });
    const { yaml, manifest, targets } = await discoverIndexes({ ...own, engine: "mongodb", project: "shop" });
    const why = WHY_UNKNOWN;
    expect(manifest).toEqual({
      version: 1,
      project: "shop",
      mongo: {
        events: expect.arrayContaining([
          { name: "plain", why, keys: [["a", 1], ["b.c", -1]], unique: true, sparse: true }, // prettier-ignore
          { name: "gone", why, keys: [["at", 1]], expireAfterSeconds: 60 },
          { name: "some", why, keys: [["a", -1]], partial: { at: { $gt: new Date(0) } } },
          {
            ...{ name: "words", why, keys: [["a", 1], ["t", "text"], ["u", "text"]] }, // prettier-ignore
            ...{ weights: { u: 3 }, defaultLanguage: "french" },
          },
          { name: "wild", why, keys: [["$**", 1]], wildcardProjection: { "a.b": 1, c: 1, _id: 0 } },
          { name: "near", why, keys: [["g", "2d"]], bits: 20, min: -10, max: 10 },
        ]) as unknown,
      },
    });
    expect(manifest.mongo?.["events"]).toHaveLength(6);
    expect(targets[0]?.leftOut).toMatchObject([
      { name: "1 as a field", why: expect.stringContaining("an integer") as string },
    ]);
    expect(parseManifest(yaml, "found.yaml")).toEqual(manifest);
    expect(of(yaml, "mongo")).toMatch(
      /# \S+ \S*B, (?:[\d,]+ scans since .*|its scans are not known)\n\s+- name: plain/,
    );
  });

  test("can be limited to an engine, a schema or a target, and says where there is nothing", async () => {
    await own.sql.query(`
      CREATE SCHEMA shop; CREATE TABLE shop.orders (id int PRIMARY KEY); CREATE TABLE items (id int PRIMARY KEY)`);
    await own.mongo.collection("events").createIndex({ a: 1 });
    const places = async (options: object) =>
      (await discoverIndexes({ ...own, ...options })).targets.map(({ target }) => target);
    expect(await places({})).toEqual(["events", "public.items", "shop.orders"]);
    expect(await places({ engine: "mongodb" })).toEqual(["events"]);
    expect(await places({ engine: "postgres" })).toEqual(["public.items", "shop.orders"]);
    expect(await places({ schema: "shop" })).toEqual(["shop.orders"]);
    expect(await places({ target: "public.items" })).toEqual(["public.items"]);
    await expect(places({ target: "items" })).rejects.toThrow(/no collection "items" with an index, and no table/);
    await expect(places({ schema: "none" })).rejects.toThrow('No index was found in the schema "none"');
  });

  test("names and texts that look like YAML, or break lines, stay names and texts", async () => {
    await own.sql.query(`
      CREATE TABLE "a: {b" (x int); CREATE INDEX "- i
# no" ON "a: {b" (x) WHERE x > 0;
      COMMENT ON INDEX "- i
# no" IS E'two\nlines: "of" it'`);
    const { yaml, manifest } = await discoverIndexes({ ...own, engine: "postgres" });
    expect(parseManifest(yaml, "found.yaml")).toEqual(manifest);
    expect(manifest.postgres?.["public.a: {b"]).toMatchObject([{ name: "- i\n# no", why: 'two\nlines: "of" it' }]);
  });
});

describe("the command", () => {
  const world = useWorld("discover_command");

  test("prints a manifest that check finds nothing to say about, as YAML or within JSON", async () => {
    const yaml = await run(world.env, "indexes", "discover", "--engine", "postgres", "--schema", "public");
    expect([yaml.code, yaml.stderr]).toEqual([0, ""]);
    const manifest = parseManifest(yaml.stdout, "found.yaml");
    expect(Object.keys(manifest.postgres ?? {})).toContain("public.daily_usage_cache");
    const json = await run(world.env, "indexes", "discover", "--engine", "postgres", "--json");
    expect(json.code).toBe(0);
    expect(JSON.parse(json.stdout)).toMatchObject({
      manifest: JSON.parse(JSON.stringify(manifest)) as object,
      leftOut: [],
    });
    const nothing = await run(world.env, "indexes", "discover", "--target", "nope");
    expect(nothing.code).toBe(1);
    expect(nothing.stderr).toMatch(/^tallyman: There is no collection "nope"/);
  });
});
