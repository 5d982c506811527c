import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo, type Server } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDatabase, withMongoDatabase } from "../../../dev/servers.ts";
import { checkRange } from "../../../src/cli/command.ts";
import { endProcesses, run } from "../../support/process.ts";
import { event } from "../../support/sample.ts";
import { useWorld } from "../../support/world.ts";

type Settings = Record<string, string | undefined>;
interface Case {
  readonly name: string;
  readonly args: readonly string[];
  readonly settings?: () => Settings;
  /** what must stand on standard error, whole: a line, or several */
  readonly says: string | RegExp;
  readonly code?: number;
}

/** Nobody listens there, and no server of another test can begin to. */
const CLOSED = "127.0.0.1:1";
const RUN = "0190a5d2-7c1e-7def-8123-456789abcdef";
const RANGE = ["--from", "2026-03-01", "--to", "2026-03-02"];
const REBUILDERS = [
  ["backfill", ...RANGE],
  ["rebuild", "--inline", ...RANGE],
];

const world = useWorld("errors");
/** a database without a table */
let bareDatabase: string;
let folder: string;
let taken: Server;

beforeAll(async () => {
  await world.insert([event()]);
  bareDatabase = await createDatabase(world.env["DATABASE_URL"] as string, "errors_bare");
  folder = await mkdtemp(path.join(tmpdir(), "tallyman-errors-"));
  await writeFile(path.join(folder, "url"), `${world.env["DATABASE_URL"]}\n`);
  taken = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => taken.once("listening", resolve));
});
afterAll(async () => {
  await endProcesses();
  await new Promise((resolve) => taken.close(resolve));
  await rm(folder, { recursive: true });
});

const flags: Case[] = [
  {
    name: "a day that does not exist",
    args: ["backfill", "--from", "2026-02-30", "--to", "2026-03-01"],
    says: "option '--from <day>' argument '2026-02-30' is invalid. It must be an existing day, as YYYY-MM-DD. See: tallyman backfill --help",
  },
  {
    name: "a day of another form",
    args: ["rebuild", "--inline", "--from", "2026-03-01", "--to", "01.03.2026"],
    says: "option '--to <day>' argument '01.03.2026' is invalid. It must be an existing day, as YYYY-MM-DD. See: tallyman rebuild --help",
  },
  {
    name: "a range that ends before it begins",
    args: ["backfill", "--from", "2026-03-02", "--to", "2026-03-01"],
    says: "--to 2026-03-01 is before --from 2026-03-02. Swap them.",
  },
  {
    name: "a range of 3,661 days",
    args: ["rebuild", "--inline", "--from", "2010-01-01", "--to", "2020-01-09"],
    says: "--from 2010-01-01 --to 2020-01-09 are 3661 days; one run covers at most 3660. Begin at 2010-01-02, then run the command again for the rest.",
  },
  {
    name: "a range in the future",
    args: ["backfill", "--from", "2998-12-31", "--to", "2999-01-01"],
    says: /^tallyman: --to 2999-01-01 is in the future\. The last day that can be rebuilt is today, \d{4}-\d\d-\d\d\.\n$/,
  },
  {
    name: "no --from",
    args: ["backfill", "--to", "2026-03-01"],
    says: "required option '--from <day>' not specified. See: tallyman backfill --help",
  },
  {
    name: "an empty tenant",
    args: ["backfill", ...RANGE, "--tenant", ""],
    says: "option '--tenant <id>' argument '' is invalid. A tenant's id is empty. See: tallyman backfill --help",
  },
  ...REBUILDERS.map((args) => ({
    name: `tenants that nobody knows (${args[0]})`,
    args: [...args, "--tenant", "acme", "--tenant", "acne", "--tenant", 'b"d'],
    says: '--tenant "acne", "b\\"d": no event and no row found. Check the spelling and EVENTS_COLLECTION.',
  })),
  {
    name: "an unknown flag",
    args: ["backfill", ...RANGE, "--wacth"],
    says: "unknown option '--wacth' (Did you mean --watch?). See: tallyman backfill --help",
  },
  {
    name: "an unknown command",
    args: ["bakfill"],
    says: "unknown command 'bakfill' (Did you mean backfill?). See: tallyman --help",
  },
  {
    name: "an unknown subcommand",
    args: ["runs", "frobnicate"],
    says: "unknown command 'frobnicate'. See: tallyman runs --help",
  },
  {
    name: "too much",
    args: ["runs", "list", "all"],
    says: "too many arguments for 'list'. Expected 0 arguments but got 1. See: tallyman runs list --help",
  },
  {
    name: "a count that is none",
    args: ["status", "--tenants", "0"],
    says: "option '--tenants <count>' argument '0' is invalid. It must be a whole number from 1. See: tallyman status --help",
  },
  {
    name: "an unknown engine",
    args: ["indexes", "ensure", "--engine", "mysql"],
    says: "option '--engine <name>' argument 'mysql' is invalid. It must be mongodb or postgres. See: tallyman indexes ensure --help",
  },
  {
    name: "a run's id that is none",
    args: ["runs", "show", "42"],
    says: "command-argument value '42' is invalid for argument 'id'. It must be a run's id, as tallyman runs list prints it. See: tallyman runs show --help",
  },
  {
    name: "a run that is not there",
    args: ["runs", "show", RUN],
    says: `There is no run ${RUN}. List them with: tallyman runs list`,
  },
  {
    name: "rebuild without --inline",
    args: ["rebuild", ...RANGE],
    says: "rebuild works in this process only: say --inline. For workers, use: tallyman backfill",
  },
];

const settings: Case[] = [
  {
    name: "every wrong setting at once",
    args: ["config"],
    settings: () => ({
      USAGE_TIMEZONE: "Mars/Olympus",
      NIGHTLY_CRON: "61 * * * *",
      INDEXES_CRON: "0 15 2 * * *",
      WORKER_CONCURRENCY: "0",
      MAX_KEYS: "many",
      EVENTS_FIELDS: '{"tenant":"t"}',
      LOG_LEVEL: "loud",
      REDIS_URL: "http://redis:6379",
      DATABASE_URL: "postgres://u:hunter2%zz@host/db",
    }),
    says: [
      "Wrong settings:",
      '  EVENTS_FIELDS has the unknown field "tenant"; known are tenant_id, user_id, model, provider, prompt_tokens, completion_tokens, total_tokens, cost, created_at',
      "  REDIS_URL must be a connection string such as redis://host:6379",
      "  DATABASE_URL must be a connection string such as postgres://user@host:5432/usage",
      '  USAGE_TIMEZONE must be an IANA time zone, such as "UTC" or "Europe/Berlin"',
      '  NIGHTLY_CRON must be a cron expression of five fields, such as "15 2 * * *"',
      '  INDEXES_CRON must be a cron expression of five fields, such as "15 2 * * *"',
      "  WORKER_CONCURRENCY must be a whole number from 1 to 64",
      "  MAX_KEYS must be a whole number from 2 to 1000000",
      "  LOG_LEVEL must be trace, debug, info, warn, error or silent",
    ].join("\n"),
  },
  {
    name: "a secret that is set twice, and one whose file is not there",
    args: ["config"],
    settings: () => ({ DATABASE_URL_FILE: path.join(folder, "url"), REDIS_URL: "", REDIS_URL_FILE: "/nowhere/redis" }),
    says: /^tallyman: Wrong settings:\n {2}REDIS_URL_FILE cannot be read: ENOENT: .*'\/nowhere\/redis'\n {2}DATABASE_URL and DATABASE_URL_FILE are both set; keep one\n$/,
  },
  ...[["worker"], ["backfill", ...RANGE], ["status"], ["migrate", "up"], ["migrate", "down"]].map((args) => ({
    name: `no DATABASE_URL (${args.join(" ")})`,
    args,
    settings: () => ({ DATABASE_URL: undefined }),
    says: "DATABASE_URL is not set. PostgreSQL with the cache; no transaction pooler in front of it. Set DATABASE_URL, or DATABASE_URL_FILE to a file that holds it.",
  })),
  ...[["worker"], ["rebuild", "--inline", ...RANGE], ["indexes", "ensure"]].map((args) => ({
    name: `no MONGODB_URI (${args[0]})`,
    args,
    settings: () => ({ MONGODB_URI: undefined }),
    says: "MONGODB_URI is not set. MongoDB with the events; the database is its path. Set MONGODB_URI, or MONGODB_URI_FILE to a file that holds it.",
  })),
  ...[["backfill", ...RANGE], ["worker"]].map((args) => ({
    name: `no REDIS_URL (${args[0]})`,
    args,
    settings: () => ({ REDIS_URL: undefined }),
    says: "REDIS_URL is not set. Redis that carries the queue; its policy must be noeviction. Set REDIS_URL, or REDIS_URL_FILE to a file that holds it.",
  })),
];

const servers: Case[] = [
  ...[["worker"], ["migrate", "up"]].map((args) => ({
    name: `PostgreSQL away (${args.join(" ")})`,
    args,
    settings: () => ({ DATABASE_URL: `postgres://user:hunter2@${CLOSED}/db?password=hunter2` }),
    says: /^tallyman: PostgreSQL cannot be reached: connect ECONNREFUSED 127\.0\.0\.1:\d+\. Check DATABASE_URL and the server\.\n$/,
    code: 5,
  })),
  ...[["worker"], ["indexes", "ensure"]].map((args) => ({
    name: `MongoDB away (${args[0]})`,
    args,
    settings: () => ({ MONGODB_URI: `mongodb://user:hunter2@${CLOSED}/db` }),
    says: /^tallyman: MongoDB cannot be reached at mongodb:\/\/user:\*\*\*@127\.0\.0\.1:\d+\/db: connect ECONNREFUSED .*\. Check MONGODB_URI and the server\.\n$/,
    code: 5,
  })),
  ...[["worker"], ["backfill", ...RANGE], ["status"]].map((args) => ({
    name: `Redis away (${args[0]})`,
    args,
    settings: () => ({ REDIS_URL: `redis://user:hunter2@${CLOSED}` }),
    says: /^tallyman: Redis cannot be reached at redis:\/\/user:\*\*\*@127\.0\.0\.1:\d+: connect ECONNREFUSED .*\. Check REDIS_URL and the server\.\n$/,
    code: 5,
  })),
  {
    name: "a database that is not there",
    args: ["runs", "list"],
    settings: () => ({ DATABASE_URL: `${world.env["DATABASE_URL"]}_nowhere` }),
    says: /^tallyman: PostgreSQL refused the connection: database "\w+_nowhere" does not exist\. Check DATABASE_URL\.\n$/,
  },
  ...[["worker"], ["backfill", ...RANGE], ["runs", "show", RUN], ["status"]].map((args) => ({
    name: `a database without tables (${args.join(" ")})`,
    args,
    settings: () => ({ DATABASE_URL: bareDatabase }),
    says: /^tallyman: The database lacks \d+ migrations \(.+\)\. Run: tallyman migrate up\n$/,
  })),
  ...[["worker"], ["rebuild", "--inline", ...RANGE]].map((args) => ({
    name: `a collection that is not there (${args[0]})`,
    args,
    settings: () => ({ MONGODB_URI: withMongoDatabase(world.env["MONGODB_URI"] as string, "tallyman_errors_bare") }),
    says: /^tallyman: The database tallyman_errors_bare has no collection token_usage_events\. Check .*MONGODB_URI .*EVENTS_COLLECTION; .* run: tallyman indexes ensure\n$/,
  })),
  {
    name: "a port that is taken",
    args: ["worker"],
    settings: () => ({ HTTP_PORT: String((taken.address() as AddressInfo).port) }),
    says: /^tallyman: The HTTP server cannot listen on HTTP_HOST 127\.0\.0\.1 and HTTP_PORT \d+: .*EADDRINUSE.*\. Set HTTP_PORT to another port, or to 0 for any\.\n$/,
  },
];

describe.each([
  ["flags", flags],
  ["settings", settings],
  ["servers", servers],
])("wrong %s", (_what, cases) => {
  test.concurrent.each(cases)("$name", async ({ args, settings: differs, says, code = 1 }) => {
    const ended = await run({ ...world.env, ...differs?.() }, ...args, "--json");
    expect(ended.stderr).toEqual(typeof says === "string" ? `tallyman: ${says}\n` : expect.stringMatching(says));
    expect(ended.stderr + ended.stdout).not.toContain("hunter2");
    expect(ended.stderr).not.toMatch(/^\s+at /m);
    expect(ended.code).toBe(code);
    // no answer, except for what `status` knows without Redis
    const answer = ended.stdout === "" ? undefined : (JSON.parse(ended.stdout) as unknown);
    const known = expect.objectContaining({ queues: null, runs: [] }) as unknown;
    expect(answer).toEqual(args[0] === "status" && code === 5 ? known : undefined);
  });
});

describe("a file of tenants", () => {
  test.each([...REBUILDERS, ["backfill", "--dry-run", ...RANGE]])(
    "is named where it holds one that nobody knows (%s %s)",
    async (...args) => {
      const file = path.join(folder, "tenants");
      await writeFile(file, "acme\n\nacne\n");
      const ended = await run(world.env, ...args, "--tenants-from", file);
      expect([ended.code, ended.stderr]).toEqual([1, expect.stringMatching(/^tallyman: --tenants-from "acne": no /)]);
    },
  );
});

describe("migrate down", () => {
  test("asks first while rows exist, and is refused where nobody can answer", async () => {
    const databaseUrl = await createDatabase(world.env["DATABASE_URL"] as string, "errors_down");
    const env = { ...world.env, DATABASE_URL: databaseUrl };
    expect((await run(env, "migrate", "up")).code).toBe(0);
    expect((await run({ ...env, MONGODB_URI: world.env["MONGODB_URI"] }, "rebuild", "--inline", ...RANGE)).code).toBe(
      0,
    );
    const refused = await run(env, "migrate", "down");
    expect(refused).toMatchObject({
      code: 1,
      stdout: "",
      stderr: "tallyman: Reverting the last migration would delete rows. Say --yes to revert it.\n",
    });
    expect((await run(env, "migrate", "status")).code).toBe(0);
    expect((await run(env, "migrate", "down", "--yes")).code).toBe(0);
    expect((await run(env, "migrate", "status")).code).toBe(2);
  });
});

describe("secrets in files", () => {
  test("are read, and masked like the others", async () => {
    const { DATABASE_URL: _, ...env } = world.env;
    const listed = await run({ ...env, DATABASE_URL_FILE: path.join(folder, "url") }, "runs", "list", "--json");
    expect([listed.code, listed.stderr]).toEqual([0, ""]);
    expect(JSON.parse(listed.stdout)).toHaveProperty("runs");
  });
});

describe("checkRange", () => {
  const check = (from: string, to: string) => () => checkRange(from, to, "2026-03-01");

  test("takes one day, today, and 3,660 days; not a day more", () => {
    expect(check("2026-02-28", "2026-02-28")).not.toThrow();
    expect(check("2026-03-01", "2026-03-01")).not.toThrow();
    expect(check("2016-02-23", "2026-03-01")).not.toThrow();
    expect(check("2016-02-22", "2026-03-01")).toThrow("3661 days; one run covers at most 3660");
    expect(check("2026-03-01", "2026-03-02")).toThrow("in the future");
    expect(check("2026-03-01", "2026-02-28")).toThrow("Swap them");
  });
});
