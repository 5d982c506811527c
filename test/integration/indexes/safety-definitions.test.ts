/** Definitions that the server writes in its own way are no difference, and names of every kind are names. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Manifest, PostgresIndex } from "../../../src/indexes/manifest/manifest.ts";
import { actions, type Keeper, keeper, onCollection, onTable } from "./keeper.ts";
import { FORGET, cacheIndexes, makeCache, type Scratch, scratch } from "./scratch.ts";

let own: Scratch;
let it: Keeper;
beforeAll(async () => {
  own = await scratch();
  it = keeper(own);
  // DDL itself, however it is undone; temporary tables are the keeper's way to compare.
  await own.sql.query(`
    CREATE SEQUENCE ddl;
    CREATE FUNCTION count_ddl() RETURNS event_trigger LANGUAGE plpgsql AS
    $$ DECLARE what record;
    BEGIN
      FOR what IN SELECT * FROM pg_event_trigger_ddl_commands() LOOP
        IF what.schema_name IS DISTINCT FROM 'pg_temp' THEN PERFORM nextval('public.ddl'); END IF;
      END LOOP;
    END $$;
    CREATE FUNCTION count_drops() RETURNS event_trigger LANGUAGE plpgsql AS
    $$ DECLARE what record;
    BEGIN
      FOR what IN SELECT * FROM pg_event_trigger_dropped_objects() LOOP
        IF NOT what.is_temporary THEN PERFORM nextval('public.ddl'); END IF;
      END LOOP;
    END $$;
    CREATE EVENT TRIGGER made ON ddl_command_end EXECUTE FUNCTION count_ddl();
    CREATE EVENT TRIGGER dropped ON sql_drop EXECUTE FUNCTION count_drops()`);
});
afterAll(() => own.drop());
beforeEach(async () => {
  await own.mongo.dropDatabase();
  await own.sql.query(FORGET);
  await makeCache(own.sql);
});

/** Sequences do not roll back, so this counts what was tried too. */
async function ddlCount(): Promise<number> {
  const { rows } = await own.sql.query<{ n: string }>("SELECT last_value AS n FROM ddl");
  return Number(rows[0]?.n);
}

async function ledger(): Promise<unknown> {
  const { rows } = await own.sql.query("SELECT * FROM public.tallyman_index_ledger ORDER BY run_id, name");
  return rows;
}

const WAYS: readonly Partial<PostgresIndex>[] = [
  { name: "in_list", where: "kind IN ('P', 'Q')" },
  { name: "in_key", columns: [{ expr: "kind IN ('P', 'Q')" }, "date"] },
  { name: "in_other", columns: ["cached_at"], where: "kind::text = ANY ('{P,Q}')" },
  { name: "between", where: "cached_at BETWEEN '2026-01-01' AND timestamptz '2026-02-01Z'" },
  { name: "not_null", columns: ["read_at"], where: "NOT (read_at IS NULL)" },
  { name: "negated", columns: ["read_at", "date"], where: "NOT (kind = 'P' AND state <> 'x')" },
  { name: "expression", columns: [{ expr: "lower(state)||'-'||kind" }, "date"] },
  { name: "cast", columns: [{ expr: "(aggregated_by_user->>'n')::int", desc: true, nulls: "last" }] },
  { name: "opclass", columns: [{ col: "state", opclass: "text_pattern_ops", collate: "C" }] },
  { name: "covering", columns: ["tenant_id", "cached_at"], include: ["state", "kind"], with: { fillfactor: 70 } },
  { name: "gin", method: "gin", columns: [{ expr: "usage_keys(aggregated_by_user)" }], with: { fastupdate: "off" } },
  { name: "brin", method: "brin", columns: ["cached_at"], with: { pages_per_range: 16 } },
  { name: "case", columns: [{ expr: "CASE WHEN kind = 'P' THEN date END" }], where: "state LIKE 'a%'" },
];

test("ten runs over definitions that the server rewrites issue no DDL and write no ledger entry", async () => {
  const wanted = onTable(...WAYS);
  const first = await it.ensure(wanted);
  expect(first.entries.filter(({ action }) => action !== "created")).toEqual([]);
  expect((await it.check(wanted)).ok).toBe(true);
  const before = [await ddlCount(), await cacheIndexes(own.sql), await ledger()];
  expect(before[0]).toBeGreaterThan(WAYS.length);
  for (let run = 0; run < 10; run += 1) {
    expect(new Set((await it.ensure(wanted, { replace: true })).entries.map(({ action }) => action))).toEqual(
      new Set(["present"]),
    );
  }
  expect([await ddlCount(), await cacheIndexes(own.sql), await ledger()]).toEqual(before);
});

test.each([
  ["kind IN ('P', 'Q')", "kind = 'P' OR kind = 'Q'", true],
  ["kind IN ('P', 'Q')", "kind IN ('Q', 'P')", true],
  ["kind = 'P' AND state = 'x'", "state = 'x' AND kind = 'P'", true],
  ["date > '2026-01-01'", "date >= '2026-01-02'", false],
  ["kind IN ('P', 'Q')", "kind IN ('P', 'Q', 'R')", false],
  ["kind IN ('P', 'Q', 'R')", "kind IN ('P', 'Q')", false],
  ["read_at IS NOT NULL", "read_at IS NOT NULL OR kind = 'P'", false],
  ["kind = 'P'", "kind <> 'P'", false],
])("%s and %s are equal: %s", async (declared, found, areEqual) => {
  await own.sql.query(`CREATE INDEX by_day ON daily_usage_cache (date) WHERE ${found}`);
  const before = await cacheIndexes(own.sql);
  const report = await it.ensure(onTable({ where: declared }));
  expect(actions(report.entries)).toEqual({ by_day: areEqual ? "present" : "different" });
  expect(await cacheIndexes(own.sql)).toEqual(before);
});

/** What a name may be; each with a comment mark, a ledger line and a way back. */
const NAMES = [
  `with "quotes" and 'others'`,
  "dots.in.it",
  "$dollar$ $1",
  "back\\slash",
  "grün 索引 🗂",
  "UPPER case",
  "; DROP TABLE daily_usage_cache; --",
  "x".repeat(63),
  "ü".repeat(31),
  "🗂".repeat(15),
];

test("an index with any name is created, found, replaced, restored and dropped", async () => {
  const wanted = onTable(
    ...NAMES.map((name): Partial<PostgresIndex> => ({ name, columns: ["date", { expr: nameText(name) }] })),
  );
  const each = (action: string) => Object.fromEntries(NAMES.map((name) => [name, action]));
  expect(actions((await it.ensure(wanted)).entries)).toEqual(each("created"));
  expect(actions((await it.ensure(wanted)).entries)).toEqual(each("present"));
  const before = (await cacheIndexes(own.sql)).map(({ definition }) => definition);
  const others = onTable(
    ...NAMES.map((name): Partial<PostgresIndex> => ({ name, columns: ["cached_at", { expr: nameText(name) }] })),
  );
  expect(actions((await it.ensure(others, { replace: true })).entries)).toEqual(each("replaced"));
  expect(actions(await it.rollback(others))).toEqual(each("restored"));
  expect((await cacheIndexes(own.sql)).map(({ definition }) => definition)).toEqual(before);
  expect(actions(await it.rollback(wanted, { all: true }))).toEqual(each("dropped"));
  expect(await cacheIndexes(own.sql)).toHaveLength(1);
});

/** An expression that holds the name and a line break, so that definitions are as hostile as names. */
function nameText(name: string): string {
  return `state || '${name.replaceAll("'", "''").replaceAll("\\", "")}\n-- no comment'`;
}

test("two indexes whose long names begin alike are replaced independently", async () => {
  const [a, b] = [`${"y".repeat(62)}a`, `${"y".repeat(62)}b`];
  await it.ensure(onTable({ name: a }, { name: b, columns: ["date", "kind"] }));
  const report = await it.ensure(onTable({ name: a, columns: ["read_at"] }, { name: b, columns: ["cached_at"] }), {
    replace: true,
  });
  expect(actions(report.entries)).toEqual({ [a]: "replaced", [b]: "replaced" });
});

test("tables with every kind of name work: camelCase, reserved, with a dot, in another schema", async () => {
  const tables = ["public.ReportExecution", "public.user", "public.a.b", `Other "Schema".grün`];
  const quoted = ['"ReportExecution"', '"user"', '"a.b"', '"Other ""Schema"""."grün"'];
  await own.sql.query('DROP SCHEMA IF EXISTS "Other ""Schema""" CASCADE; CREATE SCHEMA "Other ""Schema"""');
  for (const table of quoted)
    await own.sql.query(
      `DROP TABLE IF EXISTS ${table}; CREATE TABLE ${table} ("workspaceId" text, "createdAt" timestamptz, status text)`,
    );
  const index = (name: string): PostgresIndex => ({
    name,
    why: "test",
    columns: ["workspaceId", { col: "createdAt", desc: true }],
    where: `status = 'DONE' AND "workspaceId" <> ''`,
  });
  const wanted: Manifest = {
    version: 1,
    project: "o'test",
    postgres: Object.fromEntries(tables.map((table, at) => [table, [index(`by workspace ${at}`)]])),
  };
  expect(new Set((await it.ensure(wanted)).entries.map(({ action }) => action))).toEqual(new Set(["created"]));
  expect(new Set((await it.ensure(wanted)).entries.map(({ action }) => action))).toEqual(new Set(["present"]));
  expect((await it.rollback(wanted)).map(({ action }) => action)).toEqual(Array(4).fill("dropped"));
});

test("MongoDB: hostile names of indexes, fields and collections, and definitions full of dollar signs, work", async () => {
  const collections = ["dots.in.it", "grün", "with space", "semi;colon"];
  const wanted: Manifest = {
    ...onCollection(),
    mongo: Object.fromEntries(
      collections.map((name) => [
        name,
        [
          {
            name: `"quoted".and $dollar`,
            why: "test",
            keys: [["a.b.c", 1], ["grün", -1]], // prettier-ignore
            partial: { $and: [{ "a.b": { $gt: "$a.b" } }, { c: { $in: ["$$NOW", "$c"] } }] },
          },
          { name: "$project", why: "test", keys: [["d", 1]] },
        ],
      ]),
    ),
  };
  const first = await it.ensure(wanted);
  expect(first.entries.map(({ action, detail }) => detail ?? action)).toEqual(Array(8).fill("created"));
  expect(new Set((await it.ensure(wanted)).entries.map(({ action }) => action))).toEqual(new Set(["present"]));
  const [line] = await own.mongo
    .collection<{ definition: string }>("_index_ledger")
    .find({ target: "dots.in.it", name: /quoted/ })
    .toArray();
  expect(line?.definition).toContain("$$NOW");
  const undone = await it.rollback(wanted);
  expect(undone.map(({ action }) => action)).toEqual(Array(12).fill("dropped"));
  expect(await own.mongo.listCollections({ name: { $ne: "_index_ledger" } }).toArray()).toEqual([]);
});
