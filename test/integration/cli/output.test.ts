import type { Command } from "commander";
import { beforeAll, describe, expect, test } from "vitest";
import { createProgram } from "../../../src/cli/program.ts";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { run, startProgram, startWorker } from "../../support/process.ts";
import { useWorld } from "../../support/world.ts";

const RANGE = ["--from", "2026-03-01", "--to", "2026-03-12"];

const world = useWorld("output", { LOG_LEVEL: "trace" });

beforeAll(async () => {
  await world.insert(daysOfEvents("acme", "2026-03-01", 12));
});

/** Every command that does something, with its path. */
function leaves(command: Command, path: string[] = []): { command: Command; path: string[] }[] {
  const here = [...path, command.name()];
  return command.commands.length === 0
    ? [{ command, path: here }]
    : command.commands.flatMap((child) => leaves(child, here));
}

/** What `--help` prints, and the code it would leave with. */
async function help(path: readonly string[]): Promise<{ text: string; code: number }> {
  let text = "";
  const program = createProgram();
  const override = (command: Command) => {
    command.exitOverride().configureOutput({ writeOut: (part) => (text += part) });
    command.commands.forEach(override);
  };
  override(program);
  const error = await program.parseAsync([...path.slice(1), "--help"], { from: "user" }).catch((e: unknown) => e);
  return { text, code: (error as { exitCode: number }).exitCode };
}

describe("--help", () => {
  const every = [{ path: ["tallyman"] }, ...createProgram().commands.map((c) => ({ path: ["tallyman", c.name()] }))];

  test.each([...every, ...leaves(createProgram())])("of $path has an example that can be run", async ({ path }) => {
    const { text, code } = await help(path);
    expect(code).toBe(0);
    const example = /\nExample:\n {2}(tallyman .+)\n/.exec(text)?.[1] ?? "";
    expect(example.startsWith(path.join(" ")), example).toBe(true);
    const shown = leaves(createProgram()).find((leaf) => example.startsWith(leaf.path.join(" ")));
    const known = shown?.command.options.map(({ long }) => long);
    expect(known, example).toEqual(expect.arrayContaining([...(example.match(/--[\w-]+/g) ?? [])]));
  });

  test("leaves with 0, on standard output", async () => {
    const ended = await run({}, "backfill", "--help");
    expect([ended.code, ended.stderr]).toEqual([0, ""]);
    expect(ended.stdout).toBe((await help(["tallyman", "backfill"])).text);
  });
});

describe("--json", () => {
  /** One line, one document; whatever else there is went to standard error, as logs. */
  function onlyDocument({ stdout, stderr }: { stdout: string; stderr: string }): Record<string, unknown> {
    expect(stdout).toMatch(/^[^\n]+\n$/);
    const logged = stderr
      .replace(/^No worker is running.*\n/m, "")
      .trim()
      .split("\n")
      .filter(Boolean);
    expect(() => logged.map((line) => JSON.parse(line) as unknown)).not.toThrow();
    return JSON.parse(stdout) as Record<string, unknown>;
  }

  test("is one document of every command, with every log line on standard error", async () => {
    const say = (...args: string[]) => run(world.env, ...args, "--json");
    const rebuilt = await say("rebuild", "--inline", ...RANGE);
    const { run: made } = onlyDocument(rebuilt) as { run: { id: string; days: object } };
    expect(made.days).toMatchObject({ planned: 12, written: 12 });
    expect(rebuilt.stderr).not.toMatch(/[█░\r]/);

    const [listed, shown, status, up, migrations, config, indexes, asked] = await Promise.all([
      say("runs", "list"),
      say("runs", "show", made.id),
      say("status"),
      say("migrate", "up"),
      say("migrate", "status"),
      say("config"),
      say("indexes", "ensure", "--engine", "postgres"),
      say("backfill", ...RANGE),
    ]);
    const runs = onlyDocument(listed)["runs"] as { id: string }[];
    expect(runs.map(({ id }) => id)).toContain(made.id);
    expect(onlyDocument(shown)).toMatchObject({ run: { id: made.id, state: "done" }, problems: [] });
    expect(onlyDocument(status)).toMatchObject({
      tenants: [{ tenant: "acme", lastRow: "2026-03-12", state: "final" }],
    });
    expect(onlyDocument(up)).toEqual({ applied: [] });
    expect(onlyDocument(migrations)).toMatchObject({ unknown: [] });
    expect(onlyDocument(config)).toMatchObject({ QUEUE_PREFIX: world.config.queuePrefix, NIGHTLY_DAYS: "3" });
    expect(indexes.stdout).toMatch(/^[^\n]+\n$/); // progress goes to standard error
    expect(onlyDocument(asked)).toMatchObject({ created: true, run: { state: "planned" } });
    expect([listed, shown, status, up, migrations, config, indexes, asked].map(({ code }) => code)).toEqual(
      Array(8).fill(0),
    );

    // the worker's one document is where it listens; the watch prints one a line, each a state of the same run
    const worker = await startWorker(world.env);
    const watched = await say("backfill", ...RANGE, "--watch");
    expect(watched.code).toBe(0);
    const states = watched.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { run: { state: string } });
    expect(states.at(-1)?.run.state).toBe("done");
    expect(new Set(watched.stdout.trimEnd().split("\n")).size).toBe(states.length);
    worker.signal("SIGTERM");
    const stopped = await worker.ended;
    expect(onlyDocument(stopped)).toEqual({ address: worker.address, pid: worker.pid });
    expect(stopped.stderr).toContain('"msg":"worker started"');
    expect(stopped.code).toBe(0);
  });

  test("says on standard error what its document lacks", async () => {
    const status = await run({ ...world.env, REDIS_URL: "redis://user:hunter2@127.0.0.1:1" }, "status", "--json");
    expect(onlyDocument({ ...status, stderr: "" })).toMatchObject({ queues: null });
    expect(status.stderr).toMatch(/^tallyman: Redis cannot be reached at redis:\/\/user:\*\*\*@127\.0\.0\.1:1: /);
    expect(status.code).toBe(5);
  });
});

describe("config", () => {
  const SECRETS = {
    MONGODB_URI: "mongodb://mongo:hunter2@a:1,b:2/usage?authSource=admin",
    REDIS_URL: "rediss://:hunter2@redis:6379",
    DATABASE_URL: "postgresql://pg:hunter2%40x@db/usage?sslmode=require&sslpassword=hunter2",
  };
  const MASKED = {
    MONGODB_URI: "mongodb://mongo:***@a:1,b:2/usage?authSource=admin",
    REDIS_URL: "rediss://:***@redis:6379",
    DATABASE_URL: "postgresql://pg:***@db/usage?sslmode=require&sslpassword=***",
  };

  test("shows what is in effect, and no password", async () => {
    const env = { ...SECRETS, NIGHTLY_DAYS: "5", EVENTS_FIELDS: '{"tenant_id":"org"}' };
    const [text, json] = await Promise.all([run(env, "config"), run(env, "config", "--json")]);
    expect([text.code, json.code]).toEqual([0, 0]);
    for (const output of [text, json]) expect(output.stdout + output.stderr).not.toContain("hunter2");
    const settings = JSON.parse(json.stdout) as Record<string, string>;
    expect(settings).toMatchObject({ ...MASKED, NIGHTLY_DAYS: "5", NIGHTLY_CRON: "15 2 * * *" });
    expect(JSON.parse(settings["EVENTS_FIELDS"] as string)).toMatchObject({ tenant_id: "org", user_id: "user_id" });
    for (const [name, value] of Object.entries(settings)) expect(text.stdout, value).toContain(`${name} `);
    for (const value of Object.values(MASKED)) expect(text.stdout).toContain(value);
  });
});

describe("the progress bar", () => {
  const rebuild = ["rebuild", "--inline", ...RANGE];
  const program = new URL("../../../bin/tallyman.js", import.meta.url).pathname;

  test("is not for standard error that is no terminal", async () => {
    const ended = await run({ ...world.env, LOG_LEVEL: "silent" }, ...rebuild);
    expect([ended.code, ended.stderr]).toEqual([0, ""]);
    expect(ended.stdout).toMatch(/^run {8}[\da-f-]{36}\n/);
  });

  test("moves on a terminal, and is cleared at the end", async () => {
    const line = [process.execPath, program, ...rebuild];
    // `script` gives a command a terminal; its flags differ between macOS and util-linux.
    const flags = process.platform === "darwin" ? ["-q", "/dev/null", ...line] : ["-qec", line.join(" "), "/dev/null"];
    const env = { ...world.env, LOG_LEVEL: "silent", TERM: "xterm" };
    const ended = await startProgram("script", flags, env).ended;
    expect(ended.code).toBe(0);
    const shown = ended.stdout.replaceAll("\u001b[K", "<clear>");
    expect(shown).toMatch(
      /\r█{30} 100% 1\/1 chunks, 12\/12 tenant-days, [\d,]+ events\/s, 0 s left<clear>\r<clear>run {8}/,
    );
  });
});

describe("a reader that leaves early", () => {
  test("is no error of the command", async () => {
    const program = new URL("../../../bin/tallyman.js", import.meta.url).pathname;
    const shell = `${process.execPath} ${program} config | true; echo "\${PIPESTATUS[0]}"`;
    const ended = await startProgram("bash", ["-c", shell], {}).ended;
    expect([ended.stdout, ended.stderr]).toEqual(["0\n", ""]);
  });
});
