import pg from "pg";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { createPool } from "../../../src/db/postgres/pool.ts";
import { Session } from "../../../src/db/postgres/session.ts";
import { types } from "../../../src/db/postgres/values.ts";
import { clientOptions } from "../../../src/postgres/client-options.ts";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { endProcesses, run } from "../../support/process.ts";
import { storedRows } from "../../support/stored-rows.ts";
import { useWorld } from "../../support/world.ts";

/** What a session must have, and what somebody set for the database. */
const HOSTILE = [
  ["DateStyle", "SQL, DMY", "ISO, YMD"],
  ["TimeZone", "Asia/Kathmandu", "UTC"],
  ["IntervalStyle", "sql_standard", "postgres"],
  ["extra_float_digits", "-15", "1"],
  ["bytea_output", "escape", "hex"],
  ["array_nulls", "off", "on"],
  ["standard_conforming_strings", "off", "on"],
  ["transform_null_equals", "on", "off"],
  ["quote_all_identifiers", "on", "off"],
  ["default_transaction_isolation", "serializable", "read committed"],
  ["default_transaction_read_only", "on", "off"],
  ["default_transaction_deferrable", "on", "off"],
  ["row_security", "on", "off"],
  ["client_encoding", "LATIN1", "UTF8"],
  ["gin_fuzzy_search_limit", "1", "0"],
  ["plan_cache_mode", "force_generic_plan", "auto"],
  ["enable_indexscan", "off", "on"],
  ["enable_bitmapscan", "off", "on"],
] as const;

const world = useWorld("sessions");
const url = () => new URL(world.env["DATABASE_URL"] as string);
const database = () => url().pathname.slice(1);
const RANGE = ["--from", "2026-02-27", "--to", "2026-03-03"];

beforeEach(() => world.reset());
afterEach(() => world.pool.query(`ALTER DATABASE ${database()} RESET ALL`));
afterAll(endProcesses);

/** The connection string with `options` of its own, as a user would write them. */
function withOptions(options: string): string {
  const own = url();
  own.searchParams.set("options", options);
  return own.href.replaceAll("+", "%20");
}

async function setForDatabase(settings: Iterable<readonly [name: string, value: string, ...unknown[]]>) {
  for (const [name, value] of settings) {
    await world.pool.query(`ALTER DATABASE ${database()} SET ${name} = ${pg.escapeLiteral(value)}`);
  }
}

describe("settings that change what is read", () => {
  test.for([
    ["the database", () => Promise.resolve(url().href)],
    [
      "the connection string",
      () =>
        Promise.resolve(
          withOptions(HOSTILE.map(([name, value]) => `-c ${name}=${value.replaceAll(" ", "\\ ")}`).join(" ")),
        ),
    ],
    [
      "a few options of the connection string, and the database",
      () => Promise.resolve(withOptions("-c statement_timeout=60000")),
    ],
  ] as const)("are ours in every session, whatever %s says", async ([where, connection]) => {
    if (!where.startsWith("the connection")) await setForDatabase(HOSTILE);
    const connectionString = await connection();
    const pool = createPool(connectionString, 1, () => undefined);
    const keeper = new pg.Client(clientOptions(connectionString, "keeper"));
    await keeper.connect();
    try {
      for (const client of [pool, keeper]) {
        const { rows } = await client.query<{ name: string; setting: string }>(
          "SELECT name, current_setting(name) AS setting FROM unnest($1::text[]) AS name",
          [HOSTILE.map(([name]) => name)],
        );
        expect(rows).toEqual(HOSTILE.map(([name, , setting]) => ({ name, setting })));
      }
    } finally {
      await keeper.end();
      await pool.end();
    }
  });

  test("change no row: a rebuild, an audit and a dry run under them are as without them", async () => {
    await world.insert(daysOfEvents("acme", "2026-02-27", 5, 3));
    const inline = () => run(world.env, "rebuild", "--inline", ...RANGE, "--json");
    expect((await inline()).code).toBe(0);
    const before = await storedRows(world.pool);
    expect(before.size).toBe(5);
    await world.pool.query("UPDATE daily_usage_cache SET content_hash = decode(repeat('00', 32), 'hex')");

    await setForDatabase(HOSTILE);
    const env = { ...world.env, DATABASE_URL: withOptions("-c statement_timeout=60000") };
    const again = await run(env, "rebuild", "--inline", ...RANGE, "--json");
    expect(again).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(again.stdout)).toMatchObject({ run: { days: { planned: 5, written: 5 } } });
    const audited = await run(env, "audit", ...RANGE, "--deep", "--json");
    expect(audited).toMatchObject({ code: 0 });
    const dry = await run(env, "backfill", "--dry-run", ...RANGE, "--json");
    expect(dry).toMatchObject({ code: 0 });
    await world.pool.query(`ALTER DATABASE ${database()} RESET ALL`);
    const after = await storedRows(world.pool);
    const content = (rows: typeof after) =>
      [...rows].map(([day, { revision: _, read_at: __, cached_at: ___, ctid: ____, ...row }]) => [day, row]);
    expect(content(after)).toEqual(content(before));
  });

  test("the user's own limits stay, from wherever they come", async () => {
    await setForDatabase([
      ["lock_timeout", "7s"],
      ["idle_in_transaction_session_timeout", "9s"],
    ]);
    const pool = createPool(withOptions("-c statement_timeout=61s"), 1, () => undefined);
    const limits = ["lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"];
    const { rows } = await pool.query<Record<string, string>>(
      `SELECT ${limits.map((name) => `current_setting('${name}') AS ${name}`).join(", ")}`,
    );
    await pool.end();
    expect(rows[0]).toEqual({
      lock_timeout: "7s",
      statement_timeout: "61s",
      idle_in_transaction_session_timeout: "9s",
    });
  });

  test("a transaction that waits for its client is ended by the server where nobody set a limit", async () => {
    const pool = createPool(url().href, 1, () => undefined);
    const { rows } = await pool.query<{ limit: string }>(
      "SELECT current_setting('idle_in_transaction_session_timeout') AS limit",
    );
    await pool.end();
    expect(rows[0]?.limit).toBe("20s");
  });

  test("rows that a policy would hide are an error, not a smaller total", async () => {
    await world.insert(daysOfEvents("acme", "2026-02-27", 2));
    const role = `${database()}_reader`;
    await world.pool.query(`CREATE ROLE ${role} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO ${role};
      ALTER TABLE usage_tenant ENABLE ROW LEVEL SECURITY; CREATE POLICY none ON usage_tenant USING (false)`);
    const own = url();
    own.username = role;
    try {
      const ended = await run({ ...world.env, DATABASE_URL: own.href }, "rebuild", "--inline", ...RANGE);
      expect(ended.code).not.toBe(0);
      expect(ended.stderr).toContain("row-level security policy");
    } finally {
      await world.pool.query(`DROP POLICY none ON usage_tenant; ALTER TABLE usage_tenant DISABLE ROW LEVEL SECURITY;
        DROP OWNED BY ${role}; DROP ROLE ${role}`);
    }
  });
});

describe("a value that is none of its type", () => {
  test.for([
    ["SET DateStyle = 'SQL, DMY'", "SELECT date '2026-11-28' AS value", "a day"],
    ["SET DateStyle = 'ISO, YMD'", "SELECT date 'infinity' AS value", "a day"],
    ["SET DateStyle = 'ISO, YMD'", "SELECT date '0044-03-15 BC' AS value", "a day"],
    ["SET DateStyle = 'ISO, YMD'", "SELECT 'NaN'::numeric AS value", "a number"],
    ["SET DateStyle = 'ISO, YMD'", "SELECT 'Infinity'::float8 AS value", "a number"],
  ])("is an error of the query that reads it: %s, %s", async ([before = "", query = "", what]) => {
    const client = new pg.Client({ connectionString: url().href, types });
    await client.connect();
    try {
      await client.query(before);
      await expect(client.query(query)).rejects.toThrow(`where ${what} was to be read`);
      await client.query("SET DateStyle = 'ISO, YMD'");
      const { rows } = await client.query(
        "SELECT date '2026-11-28' AS day, 7::bigint AS n, 1.50 AS cost, 1e300::float8 AS f",
      );
      expect(rows).toEqual([{ day: "2026-11-28", n: "7", cost: "1.50", f: 1e300 }]);
    } finally {
      await client.end();
    }
  });
});

describe("sessions that the server ends by policy", () => {
  test("the connection that holds the locks lives on under a short limit for idle sessions", async () => {
    await setForDatabase([["idle_session_timeout", "1s"]]);
    const session = await Session.open(url().href, 2);
    const permit = await session.takePermit("bulk", new AbortController().signal);
    // Longer than the limit on purpose: what must not happen in it is the loss.
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(session.lost.aborted).toBe(false);
    await session.releasePermit(permit);
    await session.close();
  });
});
