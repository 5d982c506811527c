import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { beforeAll, describe, expect, test } from "vitest";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { run, startProgram } from "../../support/process.ts";
import { event } from "../../support/sample.ts";
import { snippets } from "../../support/snippets.ts";
import { useWorld } from "../../support/world.ts";

const world = useWorld("snippets");
const RANGE = ["--from", "2026-03-01", "--to", "2026-03-03"];

/** The code of a server's error; undefined where there is none. */
async function refused(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => (error as { code?: unknown }).code,
  );
}

beforeAll(async () => {
  await world.insert(daysOfEvents("acme", "2026-03-01", 3));
  expect((await run(world.env, "rebuild", "--inline", ...RANGE)).code).toBe(0);
});

describe("reading with node-postgres", () => {
  /** Runs a program east of Greenwich, beside the packages of this project. */
  async function print(code: string): Promise<string> {
    const folder = await mkdtemp(fileURLToPath(new URL("../../tmp-snippet-", import.meta.url)));
    try {
      const file = path.join(folder, "snippet.mjs");
      await writeFile(file, code);
      const env = { DATABASE_URL: world.env["DATABASE_URL"], TZ: "Asia/Tokyo" };
      const { code: exit, stdout, stderr } = await startProgram(process.execPath, [file], env).ended;
      expect([exit, stderr]).toEqual([0, ""]);
      return stdout;
    } finally {
      await rm(folder, { recursive: true });
    }
  }

  test("the documented program names the right days and adds up", async () => {
    const [code = ""] = snippets("docs/consumers.md", "Reading with node-postgres", "js");
    expect(await print(code)).toBe("2026-03-01 6n 0.001\n2026-03-02 13n 0.002\n2026-03-03 21n 0.003\n");
  });

  test("without its type parsers the same program is wrong in the documented ways", async () => {
    const [code = ""] = snippets("docs/consumers.md", "Reading with node-postgres", "js");
    const plain = code
      .replaceAll(/^types\.setTypeParser.*$/gm, "")
      .replace("let tokens = 0n", 'let tokens = ""')
      .replace("row.date,", "row.date.toISOString().slice(0, 10),");
    expect(await print(plain)).toBe("2026-02-28 6 0.001\n2026-03-01 67 0.002\n2026-03-02 678 0.003\n");
  });
});

describe("rights of a reader", () => {
  const TABLES = ["daily_usage_cache", "usage_tenant", "usage_change", "usage_meta"];

  /** Runs statements of the page for a role of the test's own, and connects as a member of it. */
  async function asReader(role: string, statements: readonly string[], work: (client: pg.Client) => Promise<void>) {
    const own = `${role}_${randomBytes(4).toString("hex")}`;
    const url = new URL(world.env["DATABASE_URL"] as string);
    await world.pool.query(statements.join("\n").replaceAll(role, own));
    await world.pool.query(`CREATE ROLE ${own}_service LOGIN; GRANT ${own} TO ${own}_service`);
    url.username = `${own}_service`;
    const client = new pg.Client({ connectionString: url.href });
    try {
      await client.connect();
      await work(client);
    } finally {
      await client.end();
      await world.pool.query(`DROP OWNED BY ${own}, ${own}_service; DROP ROLE ${own}_service, ${own}`);
    }
  }

  const [reader = "", totals = "", revoke = ""] = snippets("docs/consumers.md", "Rights of a reader", "sql");

  async function allTables(): Promise<string[]> {
    const { rows } = await world.pool.query<{ name: string }>(
      "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1",
    );
    return rows.map(({ name }) => name);
  }

  test("let it read the rows and follow the changes, and nothing else", async () => {
    await asReader("usage_reader", [reader], async (client) => {
      const readable: string[] = [];
      for (const name of await allTables()) {
        const code = await refused(client.query(`SELECT * FROM ${name} LIMIT 1`));
        if (code === undefined) readable.push(name);
        expect(["42501", undefined]).toContain(code);
      }
      expect(readable.sort()).toEqual([...TABLES].sort());
      expect((await client.query("SELECT * FROM usage_changes(after => 0, max_rows => 500)")).rows).toHaveLength(3);
      expect((await client.query("SELECT usage_changes_end()")).rows).toEqual([{ usage_changes_end: "3" }]);
      await client.query("LISTEN daily_usage_cache");
      for (const write of ["DELETE FROM daily_usage_cache", "UPDATE usage_meta SET value = '{}'"]) {
        expect(await refused(client.query(write))).toBe("42501");
      }
    });
  });

  test("can leave out the users", async () => {
    await asReader("usage_totals_reader", [totals], async (client) => {
      const { rows } = await client.query("SELECT date::text, total_cost FROM daily_usage_cache ORDER BY date LIMIT 1");
      expect(rows).toEqual([{ date: "2026-03-01", total_cost: "0.001" }]);
      for (const column of ["raw_data", "aggregated_by_user", "*"]) {
        expect(await refused(client.query(`SELECT ${column} FROM daily_usage_cache`))).toBe("42501");
      }
    });
  });

  test("that were given for all tables can be taken back for those with kept rows", async () => {
    const all = "GRANT SELECT ON ALL TABLES IN SCHEMA public TO usage_reader;";
    await asReader("usage_reader", [reader, all], async (client) => {
      expect((await client.query("SELECT replaced FROM usage_undo")).rows).toEqual(expect.any(Array));
    });
    await asReader("usage_reader", [reader, all, revoke], async (client) => {
      expect(await refused(client.query("SELECT replaced FROM usage_undo"))).toBe("42501");
    });
  });
});

describe("statements for MongoDB", () => {
  /** Runs a statement of mongosh with the driver: both have the same methods. */
  const inShell = (code: string): unknown =>
    // eslint-disable-next-line @typescript-eslint/no-implied-eval, @typescript-eslint/no-unsafe-call -- of our own page
    new Function("db", `return ${code.trim().replace(/;$/, "")}`)({ token_usage_events: world.events });

  test("an index on the request's id refuses what is sent twice, and duplicates are listed", async () => {
    const [create = "", list = ""] = snippets("docs/runbook.md", "A request was counted twice", "js");
    const once = event({ tenant_id: "dup", request_id: "r1" });
    await world.events.insertMany([{ ...once }, { ...once }, event({ tenant_id: "dup", request_id: "r2" })]);
    const duplicates = await (inShell(list) as ReturnType<typeof world.events.aggregate>).toArray();
    expect(duplicates).toMatchObject([{ _id: "r1", events: 2 }]);
    expect(await refused(inShell(create) as Promise<string>)).toBeDefined(); // MongoDB: 11000; FerretDB has another code
    await world.events.deleteMany({ request_id: "r1", _id: { $ne: duplicates[0]?.["first"] as never } });
    expect(await inShell(create)).toBe("request_id_once");
    expect(await refused(world.events.insertOne({ ...once }))).toBe(11000);
    await world.events.insertMany([event({ tenant_id: "dup" }), event({ tenant_id: "dup" })]); // without an id, as before
  });

  test("a user is taken out of the events, and the usage stays", async () => {
    await world.insert([event({ user_id: "alice" }), event({ user_id: "bob" })]);
    const [take = ""] = snippets("docs/runbook.md", "A user has to be erased", "js");
    const before = await world.events.countDocuments({ tenant_id: "acme" });
    await inShell(take);
    expect(await world.events.countDocuments({ tenant_id: "acme", user_id: "alice" })).toBe(0);
    expect(await world.events.countDocuments({ tenant_id: "acme" })).toBe(before);
  });
});
