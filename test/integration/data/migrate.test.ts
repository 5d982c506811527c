import pg from "pg";
import { afterEach, beforeEach, expect, inject, test } from "vitest";
import { createDatabase } from "../../../dev/servers.ts";
import { usageManifest } from "../../../manifests/usage.ts";
import { holdsRows, migrate, migrationState, requireMigrated } from "../../../src/db/postgres/migrate.ts";
import { UsageError } from "../../../src/errors.ts";
import { EVENT_FIELDS, type FieldMap } from "../../../src/usage/event.ts";
import { useWorlds } from "../../support/world.ts";

const openWorld = useWorlds("declared");
let url: string;
let pool: pg.Pool;
beforeEach(async () => {
  url = await createDatabase(inject("databaseUrl"), "migrate");
  pool = new pg.Pool({ connectionString: url, max: 4 });
});
afterEach(() => pool.end());

const names = async () => (await migrationState(pool)).migrations.map(({ name }) => name);

/** Everything that a migration can make: tables with their columns, constraints, indexes and functions. */
async function schema(): Promise<string[]> {
  const { rows } = await pool.query<{ line: string }>(`
    SELECT concat_ws(' ', 'column', table_name, column_name, ordinal_position, data_type, collation_name, is_nullable, column_default) AS line
      FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT concat_ws(' ', 'compression', attrelid::regclass, attname, attcompression) FROM pg_attribute WHERE attcompression <> ''
    UNION ALL SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT 'function ' || pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    ORDER BY 1`);
  return rows.map(({ line }) => line).filter((line) => !line.includes("usage_migration"));
}

test("of twenty runners at once each migration is applied by one, and all end well", async () => {
  const applied = await Promise.all(Array.from({ length: 20 }, () => migrate(url, "up")));
  expect(applied.flat().sort()).toEqual(await names());
  expect(
    (await pool.query("SELECT name FROM usage_migration ORDER BY id")).rows.map(({ name }) => name as string),
  ).toEqual(await names());
  await expect(requireMigrated(pool)).resolves.toBeUndefined();
});

test("up, all the way down and up again ends in the same schema, and down leaves nothing", async () => {
  expect(await schema()).toEqual([]);
  await migrate(url, "up");
  const before = await schema();
  expect(before.length).toBeGreaterThan(100);
  expect(before.filter((line) => line.startsWith("compression"))).toHaveLength(4);
  expect(await migrate(url, "up")).toEqual([]);

  for (const name of (await names()).reverse()) {
    expect(await migrate(url, "down")).toEqual([name]);
    await expect(requireMigrated(pool)).rejects.toThrow(/lacks .* migrations .*Run: tallyman migrate up/);
  }
  expect(await schema()).toEqual([]);
  expect(await migrate(url, "down")).toEqual([]);
  expect(await migrate(url, "up")).toEqual(await names());
  expect(await schema()).toEqual(before);
});

test("a database of a newer version is refused, by the name of what is not known here", async () => {
  await migrate(url, "up");
  await pool.query("INSERT INTO usage_migration (name, run_on) VALUES ('1999000000000_later', now())");
  expect((await migrationState(pool)).unknown).toEqual(["1999000000000_later"]);
  await expect(requireMigrated(pool)).rejects.toThrow(UsageError);
  await expect(requireMigrated(pool)).rejects.toThrow(/newer version of Tallyman \(1999000000000_later\)/);
});

test("a database without any table is refused with the command that makes them", async () => {
  await expect(requireMigrated(pool)).rejects.toThrow(/lacks \d+ migrations .* Run: tallyman migrate up/);
});

test("rows that a migration down would take away are found in any of the tables that keep something", async () => {
  expect(await holdsRows(pool)).toBe(false);
  await migrate(url, "up");
  expect(await holdsRows(pool)).toBe(false);
  await pool.query(
    "INSERT INTO usage_tenant (tenant_id, first_day, last_day) VALUES ('a', '2026-01-01', '2026-01-01')",
  );
  expect(await holdsRows(pool)).toBe(true);
});

test("a key is indexed as itself up to 512 bytes and by its hash beyond, in documents and in queries alike", async () => {
  await migrate(url, "up");
  const keys = ["x".repeat(512), "x".repeat(513), "€".repeat(171), "€".repeat(170), "", "__proto__", "ключ 😀"];
  const document = Object.fromEntries(keys.map((key) => [key, {}]));
  Object.defineProperty(document, "__proto__", { value: {}, enumerable: true });
  const { rows } = await pool.query<{ of_document: string[]; of_key: string[] }>(
    `SELECT ARRAY(SELECT unnest(usage_keys($1)) COLLATE "C" ORDER BY 1) AS of_document,
            ARRAY(SELECT usage_key(key) COLLATE "C" FROM unnest($2::text[]) AS key ORDER BY 1) AS of_key`,
    [JSON.stringify(document), keys],
  );
  expect(rows[0]?.of_document).toEqual(rows[0]?.of_key);
  expect(rows[0]?.of_key).toContain(keys[0]);
  expect(rows[0]?.of_key).toContain(keys[3]);
  expect(rows[0]?.of_key.filter((key) => /^sha256:[0-9a-f]{64}$/.test(key))).toHaveLength(2);
  expect((await pool.query("SELECT usage_keys('{}') AS none, usage_keys(NULL) AS null")).rows).toEqual([
    { none: [], null: null },
  ]);
});

test("the declared indexes stand on the migrated tables and find the days of a key, however long", async () => {
  const world = await openWorld();
  const fields = Object.fromEntries(EVENT_FIELDS.map((field) => [field, field as string])) as FieldMap;
  const report = await world.services.keeper.ensure({});
  expect(report).toMatchObject({ ok: true });
  const declared = Object.values(usageManifest({ collection: "token_usage_events", fields }).postgres ?? {}).flat();
  expect(report.entries.filter(({ engine }) => engine === "postgres")).toHaveLength(declared.length);

  const long = "x".repeat(9_000);
  await world.pool.query(
    `INSERT INTO daily_usage_cache
     SELECT 'tenant', date '2000-01-01' + n, '{}', d, d, d, 0, 0, 0, 0, 0, 0, 0, decode(repeat('00', 32), 'hex'), 'final', 1, now(), now()
       FROM generate_series(1, 50) AS n,
            jsonb_build_object('u' || n, NULL, 'even' || n % 2, NULL, CASE n WHEN 7 THEN $1 ELSE 'x' END, NULL) AS d`,
    [long],
  );
  const client = await world.pool.connect();
  await client.query("SET enable_seqscan = off");
  for (const dimension of ["user", "model", "provider"]) {
    const query = `FROM daily_usage_cache WHERE usage_keys(aggregated_by_${dimension}) @> ARRAY[usage_key($1)]`;
    const plan = await client.query<{ "QUERY PLAN": string }>(`EXPLAIN SELECT date ${query}`, ["u7"]);
    const text = plan.rows.map((row) => row["QUERY PLAN"]).join("\n");
    expect(text).toContain(`Bitmap Index Scan on idx_daily_usage_cache_${dimension}_jsonb`);
    for (const [key, count] of [
      ["u7", 1],
      ["even0", 25],
      [long, 1],
      ["x", 49],
      ["nobody", 0],
    ] as const) {
      expect((await client.query(`SELECT count(*)::int AS n ${query}`, [key])).rows).toEqual([{ n: count }]);
    }
  }
  client.release(true);
});
