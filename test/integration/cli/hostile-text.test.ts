import { beforeAll, describe, expect, inject, test } from "vitest";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { run, startProgram, startWorker, type Ended } from "../../support/process.ts";
import { event } from "../../support/sample.ts";
import { HOSTILE_TEXTS, unprintableIn } from "../../support/unprintable.ts";
import { useWorlds, type World } from "../../support/world.ts";

const FROM = "2026-03-01";
const RANGE = ["--from", FROM, "--to", "2026-03-02"];

/** As many tenants as hostile ones, with nothing odd about them. */
const PLAIN_TEXTS = HOSTILE_TEXTS.map((_, number) => `tenant-${number}`);

const open = useWorlds("hostile_text");

interface Played {
  /** what each command printed, by a name for it */
  readonly outputs: ReadonlyMap<string, Ended>;
  readonly logs: string;
}

/** Every command that shows ids, reasons and names, over tenants of the given names, in real processes. */
async function play(names: readonly string[]): Promise<Played> {
  const world = await open({ LOG_LEVEL: "info" });
  const [first = "", second = "", third = "", fourth = "", fifth = ""] = names;
  const outputs = new Map<string, Ended>();
  const say = async (name: string, args: readonly string[], settings: Readonly<Record<string, string>> = {}) => {
    const env = { ...world.env, LOG_LEVEL: "silent", ...settings };
    outputs.set(name, await run(env, ...args));
    return outputs.get(name) as Ended;
  };
  const both = async (name: string, ...args: string[]) => {
    await say(name, args);
    await say(`${name} --json`, [...args, "--json"]);
  };

  await prepare(world, names);
  await both("rebuild", "rebuild", "--inline", ...RANGE, "--reason", first, "--by", second);
  await world.events.insertMany([event({ tenant_id: third }), event({ tenant_id: fourth, cost: fifth })]);
  await both("backfill --dry-run", "backfill", "--dry-run", ...RANGE);
  await world.pool.query("UPDATE daily_usage_cache SET total_tokens = total_tokens + 1 WHERE tenant_id = $1", [
    names[7],
  ]);
  await both("audit", "audit", ...RANGE, "--all-states", "--by", first);
  await world.events.deleteMany({ tenant_id: { $in: [first, second] } });
  await say("refused", ["rebuild", "--inline", ...RANGE, ...names.flatMap((name) => ["--tenant", name])]);
  const { rows } = await world.pool.query<{ id: string }>("SELECT id FROM usage_run ORDER BY created_at DESC LIMIT 1");
  await both("runs show", "runs", "show", rows[0]?.id as string);
  await both("runs list", "runs", "list");
  await both("status", "status", "--tenants", "100");
  await both("config", "config");
  await say("hostile settings", ["config"], {
    EVENTS_COLLECTION: first,
    EVENTS_FIELDS: JSON.stringify({ model: second }),
  });
  await say("wrong settings", ["config"], {
    USAGE_TIMEZONE: first,
    NIGHTLY_CRON: second,
    EVENTS_FIELDS: third,
    QUEUE_PREFIX: `${fourth}/`,
  });
  await say("other settings", ["status"], { EVENTS_FIELDS: JSON.stringify({ model: first }) });
  await say("unknown tenant", ["backfill", ...RANGE, "--tenant", `${first}?`]);
  await say("wrong day", ["backfill", "--from", first, "--to", second]);
  await say("wrong command", [first]);
  await say("wrong option", ["status", `--${second}`]);
  await say("wrong file", ["backfill", ...RANGE, "--tenants-from", `/${third}`]);
  await say("wrong manifest", ["indexes", "check", "--manifest", fourth]);
  await say("wrong server", ["status"], { REDIS_URL: `redis://127.0.0.1:1/${encodeURIComponent(fourth)}` });
  await world.pool.query("CREATE INDEX " + JSON.stringify(first.replaceAll('"', "")) + " ON daily_usage_cache (state)");
  await both("indexes check", "indexes", "check");
  await both("indexes plan", "indexes", "plan");

  const worker = await startWorker(world.env);
  await world.pool.query("UPDATE daily_usage_cache SET read_at = clock_timestamp() + interval '1 hour'");
  await say("backfill --watch", ["backfill", ...RANGE, "--watch", "--reason", first, "--by", second]);
  worker.signal("SIGTERM");
  const { stderr: logs } = await worker.ended;
  return { outputs, logs };
}

/** Two days of events for each tenant; one event each of the third cannot be seen. */
async function prepare(world: World, names: readonly string[]): Promise<void> {
  await world.insert(names.flatMap((name) => daysOfEvents(name, FROM, 2)));
  await world.insert([event({ tenant_id: names[2], created_at: names[2] })]);
}

let plain: Played;
let hostile: Played;
beforeAll(async () => {
  plain = await play(PLAIN_TEXTS);
  hostile = await play(HOSTILE_TEXTS);
});

describe("over tenants with hostile names", () => {
  test("no command prints a character that a terminal obeys or hides", () => {
    for (const [name, { stdout, stderr }] of hostile.outputs) {
      expect({ name, found: unprintableIn(stdout + stderr) }).toEqual({ name, found: [] });
    }
  });

  test("every command prints as many lines as over plain names, and exits with the same code", () => {
    const lines = ({ outputs }: Played) =>
      [...outputs].map(([name, { code, stdout, stderr }]) => {
        return { name, code, stdout: stdout.split("\n").length, stderr: stderr.split("\n").length };
      });
    expect(lines(hostile)).toEqual(lines(plain));
  });

  test("every tenant is shown with escapes, and --json has the names as they are", () => {
    const text = (name: string) => (hostile.outputs.get(name) as Ended).stdout;
    const json = (name: string) => JSON.parse(text(`${name} --json`)) as Record<string, Record<string, unknown>[]>;
    const shown = [
      "a\\u001b[2J\\u001b[Hb",
      "a\\r\\nforged  2026-03-01  final",
      "\\u009b2J\\u0085next",
      "\\u202egnp.exe",
    ];
    for (const part of shown) expect(text("status")).toContain(part);
    for (const name of ["refused", "rebuild"]) for (const part of shown.slice(0, 2)) expect(text(name)).toContain(part);
    expect(text("backfill --dry-run")).toContain("a\\nb\\n\\nc");
    expect(text("audit")).toContain("\\u202egnp.exe\\u202c");
    expect(new Set(json("status")["tenants"]?.map(({ tenant }) => tenant))).toEqual(new Set(HOSTILE_TEXTS));
    expect(json("audit")["drift"]?.map(({ tenant }) => tenant)).toEqual(expect.arrayContaining([HOSTILE_TEXTS[7]]));
    expect(json("rebuild")["run"]).toMatchObject({ reason: HOSTILE_TEXTS[0], requestedBy: HOSTILE_TEXTS[1] });
  });

  test("the logs of a worker are JSON with the names as they are, and hold no such character", () => {
    expect(unprintableIn(hostile.logs)).toEqual([]);
    const logged = hostile.logs
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { msg: string; days?: { tenant: string }[] });
    const ahead = logged
      .filter(({ msg }) => msg.startsWith("rows have read stamps"))
      .flatMap(({ days = [] }) => days.map(({ tenant }) => tenant));
    expect(HOSTILE_TEXTS).toEqual(expect.arrayContaining(ahead));
    expect(ahead.length, hostile.logs).toBeGreaterThan(0);
  });
});

test("an error that nobody expected is printed in the same way", async () => {
  // Thrown as soon as the program listens to such errors; until then the timer keeps the process.
  const listens = 'process.listenerCount("uncaughtException")>0';
  const crash = `data:text/javascript,setInterval(()=>{if(${listens})throw new Error("\\u001b[2J\\u202e\\nforged")},1)`;
  const flags = ["--import", crash, inject("program"), "config"];
  const ended = await startProgram(process.execPath, flags, {}).ended;
  expect(ended.code).toBe(4);
  expect(unprintableIn(ended.stderr)).toEqual([]);
  expect(ended.stderr).toMatch(/^tallyman: unexpected error: \\u001b\[2J\\u202e\\nforged\n {4}at /);
});

test("a terminal gets no control character but those that draw the progress bar", async () => {
  const world = await open();
  await prepare(world, HOSTILE_TEXTS);
  const args = ["rebuild", "--inline", ...RANGE, "--reason", HOSTILE_TEXTS[0] as string];
  const line = [process.execPath, inject("program"), ...args].map((word) => `'${word}'`).join(" ");
  const flags = process.platform === "darwin" ? ["-q", "/dev/null", "bash", "-c", line] : ["-qec", line, "/dev/null"];
  const ended = await startProgram("script", flags, { ...world.env, TERM: "xterm" }).ended;
  expect(ended.code).toBe(0);
  expect(ended.stdout).toContain("a\\u001b[2J\\u001b[Hb");
  expect(unprintableIn(ended.stdout.replaceAll("\x1b[K", "").replaceAll("\r", ""))).toEqual([]);
});
