import { randomBytes } from "node:crypto";
import pg from "pg";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { createDatabase } from "../../../dev/servers.ts";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { endProcesses, run, startWorker, untilWorked } from "../../support/process.ts";
import { useWorld } from "../../support/world.ts";

const world = useWorld("schemas");
const RANGE = ["--from", "2026-02-27", "--to", "2026-03-03"];

/** A shared database, in which a role of ours may use what its owner gave it. */
let admin: pg.Client;
let url: URL;
let database: string;
let role: string;

beforeEach(async () => {
  await world.reset();
  await world.insert(daysOfEvents("acme", "2026-02-27", 5, 3));
  url = new URL(await createDatabase(world.env["DATABASE_URL"] as string, "shared"));
  database = url.pathname.slice(1);
  role = `role_${randomBytes(4).toString("hex")}`;
  admin = new pg.Client(url.href);
  await admin.connect();
  await admin.query(`CREATE ROLE ${role} LOGIN; GRANT ALL ON DATABASE ${database} TO ${role};
    REVOKE ALL ON SCHEMA public FROM PUBLIC; CREATE SCHEMA "Billing 1" AUTHORIZATION ${role}`);
  url.username = role;
});
afterEach(async () => {
  await endProcesses();
  await admin.query(`DROP OWNED BY ${role} CASCADE`);
  await admin.query(`DROP ROLE ${role}`);
  await admin.end();
});
afterAll(endProcesses);

const env = (databaseUrl = url.href) => ({ ...world.env, DATABASE_URL: databaseUrl, QUEUE_PREFIX: database });
const tallyman = (...args: string[]) => run(env(), ...args);

/** Every relation and function of the database outside the catalogs, as `schema: names`. */
async function places(): Promise<string[]> {
  const { rows } = await admin.query<{ schema: string }>(
    `SELECT DISTINCT n.nspname AS schema FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname !~ '^(pg_|information_schema$)'
     UNION SELECT n.nspname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
      WHERE n.nspname !~ '^(pg_|information_schema$)'`,
  );
  return rows.map(({ schema }) => schema);
}

function throughOptions(schema: string): string {
  const own = new URL(url.href);
  own.searchParams.set("options", `-c search_path=${schema.replaceAll(" ", "\\ ")}`);
  return own.href;
}

describe("a schema other than public, for a role without rights on public", () => {
  test.for([
    ["the database", () => admin.query(`ALTER DATABASE ${database} SET search_path = "Billing 1", public`)],
    ["the role", () => admin.query(`ALTER ROLE ${role} SET search_path = missing, "Billing 1"`)],
    ["the connection string", () => (url = new URL(throughOptions('"Billing 1"')))],
    ["a schema with the name of the role", () => admin.query(`CREATE SCHEMA ${role} AUTHORIZATION ${role}`)],
  ] as const)("everything is there, if the search_path of %s says so", async ([where, set]) => {
    await set();
    const schema = where.startsWith("a schema") ? role : "Billing 1";
    expect(await tallyman("migrate", "up")).toMatchObject({ code: 0, stderr: "" });
    expect(await tallyman("migrate", "up")).toMatchObject({ code: 0, stdout: "Nothing to apply.\n" });
    expect(await tallyman("migrate", "status")).toMatchObject({ code: 0 });
    const ensured = await tallyman("indexes", "ensure", "--engine", "postgres");
    expect(ensured).toMatchObject({ code: 0 });
    expect(await tallyman("indexes", "check", "--engine", "postgres")).toMatchObject({ code: 0 });
    expect(await tallyman("indexes", "stats", "--engine", "postgres")).toMatchObject({ code: 0 });
    expect(await tallyman("rebuild", "--inline", ...RANGE)).toMatchObject({ code: 0 });
    const asked = await tallyman("backfill", ...RANGE, "--json");
    expect(asked.code).toBe(0);
    const { run: backfill } = JSON.parse(asked.stdout) as { run: { id: string } };
    await startWorker(env());
    await untilWorked("end of the backfill", async () => {
      const shown = await tallyman("runs", "show", backfill.id, "--json");
      return (JSON.parse(shown.stdout) as { run: { state: string } }).run.state === "done";
    });
    expect(await places()).toEqual([schema]);
    const { rows } = await admin.query(
      `SELECT count(*)::int AS n FROM ${pg.escapeIdentifier(schema)}.daily_usage_cache`,
    );
    expect(rows).toEqual([{ n: 5 }]);

    // A reader calls the functions from wherever it is.
    const { rows: changes } = await admin.query(`SELECT ${pg.escapeIdentifier(schema)}.usage_changes_end() AS "end"`);
    expect(changes).toEqual([{ end: "5" }]);
    expect((await admin.query(`SELECT * FROM ${pg.escapeIdentifier(schema)}.usage_changes(0)`)).rowCount).toBe(5);
  });
});

describe("the wrong place", () => {
  test("is said by the first command, in one line, with the way to the right one", async () => {
    await admin.query(`CREATE SCHEMA other AUTHORIZATION ${role}`);
    const right = env(throughOptions('"Billing 1"'));
    const wrong = env(throughOptions("other"));
    expect(await run(right, "migrate", "up")).toMatchObject({ code: 0 });
    const line =
      /^tallyman: The tables are in the schema "Billing 1", and this session looks in other\. Lead it there: ALTER ROLE <role> SET search_path = "Billing 1", or add \?options=\S+ to DATABASE_URL; .*\n$/;
    for (const args of [["status"], ["backfill", ...RANGE], ["migrate", "up"], ["worker"], ["indexes", "check"]]) {
      const ended = await run(wrong, ...args);
      expect({ args, code: ended.code }).toEqual({ args, code: 1 });
      expect(ended.stderr).toMatch(line);
    }
    expect(await places()).toEqual(["Billing 1"]);
    // Another set of tables in the same database is made on purpose alone.
    expect(await run(wrong, "migrate", "up", "--new")).toMatchObject({ code: 0 });
    expect(await run(wrong, "migrate", "up")).toMatchObject({ code: 0, stdout: "Nothing to apply.\n" });
    expect(await run(right, "status")).toMatchObject({ code: 0 });
    expect((await places()).sort()).toEqual(["Billing 1", "other"]);
  });

  test("no right to make tables, no right to use the schema, no schema at all: each is said with the statement to run", async () => {
    await admin.query("GRANT USAGE ON SCHEMA public TO PUBLIC");
    const refused = await tallyman("migrate", "up");
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(
      /^tallyman: This role may not change tables in the schema public, the first of its search_path: permission denied for schema public\. Let an owner .*CREATE SCHEMA tallyman AUTHORIZATION <role>.*\n$/,
    );
    const nowhere = await run(env(throughOptions("missing")), "migrate", "up");
    expect(nowhere).toMatchObject({ code: 1 });
    expect(nowhere.stderr).toMatch(/^tallyman: No schema of the search_path \(missing\) exists, .*\n$/);

    const owner = new URL(url.href);
    owner.username = new URL(world.env["DATABASE_URL"] as string).username;
    await admin.query("CREATE SCHEMA closed");
    owner.searchParams.set("options", "-c search_path=closed");
    expect(await run(env(owner.href), "migrate", "up")).toMatchObject({ code: 0 });
    const closed = await tallyman("status");
    expect(closed.code).toBe(1);
    expect(closed.stderr).toMatch(
      /which this role may not use\. Let its owner run: GRANT USAGE ON SCHEMA closed TO <role>/,
    );
    await admin.query("DROP SCHEMA closed CASCADE");
  });

  test("tables whose ledger of migrations an earlier version left in public are found, with the statement that moves it", async () => {
    await admin.query(`GRANT ALL ON SCHEMA public TO ${role}`);
    url = new URL(throughOptions('"Billing 1"'));
    expect(await tallyman("migrate", "up")).toMatchObject({ code: 0 });
    await admin.query('ALTER TABLE "Billing 1".usage_migration SET SCHEMA public');
    const ended = await tallyman("migrate", "up");
    expect(ended.code).toBe(1);
    const statement = /Move it: (.*)\n$/.exec(ended.stderr)?.[1] ?? "";
    await admin.query(statement);
    expect(await tallyman("migrate", "up")).toMatchObject({ code: 0, stdout: "Nothing to apply.\n" });
    expect(await tallyman("status")).toMatchObject({ code: 0 });
  });
});
