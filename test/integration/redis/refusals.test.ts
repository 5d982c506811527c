import { connect } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startRedis, type PrivateServer } from "../../../dev/servers.ts";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { openedForEach } from "../../support/opened.ts";
import { endProcesses, run, start, startWorker, untilWorked } from "../../support/process.ts";
import { askRedis } from "../../support/redis-servers.ts";
import { TcpProxy } from "../../support/tcp-proxy.ts";
import { useWorld } from "../../support/world.ts";

const RANGE = ["--from", "2026-02-27", "--to", "2026-02-28"];

const world = useWorld("refusals");
let redis: PrivateServer;

beforeAll(async () => {
  redis = await startRedis();
  await world.insert(daysOfEvents("acme", "2026-02-27", 2, 2));
});
beforeEach(async () => {
  await world.empty("usage_chunk", "usage_change", "usage_undo", "usage_run", "daily_usage_cache");
  await world.pool.query("DELETE FROM usage_meta WHERE name = 'paused'");
});
afterEach(endProcesses);
afterAll(async () => {
  await endProcesses();
  await redis.stop();
});

const acl = (...rules: string[]) => askRedis(redis, (admin) => admin.call("ACL", "SETUSER", "worker", ...rules));
/** A user with the rules, on top of everything. */
async function signedIn(...rules: string[]): Promise<Record<string, string>> {
  await acl("reset", "on", ">secret", `~${world.config.queuePrefix}:*`, "+@all", ...rules);
  const url = new URL(redis.uri);
  url.username = "worker";
  url.password = "secret";
  return { ...world.env, REDIS_URL: url.href, LOG_LEVEL: "info" };
}

const logged = (stderr: string) =>
  stderr
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as { msg: string });

async function backfillIsDone(env: Readonly<Record<string, string>>): Promise<void> {
  expect(await run(env, "backfill", ...RANGE)).toMatchObject({ code: 0 });
  await untilWorked("end of the backfill", async () => {
    const { rows } = await world.pool.query<{ state: string }>("SELECT state FROM usage_run");
    return rows.length > 0 && rows.every(({ state }) => state === "done");
  });
}

describe("a Redis user with few rights", () => {
  test.for([
    ["INFO", ["-info"]],
    ["CONFIG", ["-config"]],
    ["CLIENT", ["-client"]],
    [
      "INFO, CONFIG, CLIENT, CLUSTER, COMMAND, SCRIPT and KEYS",
      ["-info", "-config", "-client", "-cluster", "-command", "-script", "-keys"],
    ],
    ["everything dangerous or for administrators", ["-@dangerous", "-@admin"]],
  ] as const)("works without %s", async ([, rules]) => {
    const env = await signedIn(...rules);
    const worker = await startWorker(env);
    await backfillIsDone(env);
    expect(await run(env, "status")).toMatchObject({ code: 0 });
    worker.signal("SIGTERM");
    const { code, stderr } = await worker.ended;
    expect(code).toBe(0);
    expect(logged(stderr).length).toBeLessThan(40);
  });

  test.for([
    ["EVALSHA and EVAL", ["-eval", "-evalsha"], "eval"],
    ["streams", ["-xadd"], "xadd"],
    ["hashes and sorted sets", ["-hset", "-zadd", "-zrem"], "hset, zadd, zrem"],
    ["waiting", ["-bzpopmin"], "bzpopmin"],
  ] as const)("is told what it lacks, and the statement that gives it: %s", async ([, rules, names]) => {
    const env = await signedIn(...rules);
    const ended = await run(env, "worker");
    expect(ended.code).toBe(1);
    const lines = ended.stderr.split("\n").filter((line) => line.startsWith("tallyman: "));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain(
      `The user of REDIS_URL lacks rights that the queue needs: ${names}. Let an administrator run: `,
    );
    // The statement is right.
    const [, statement = ""] = /ACL SETUSER <user> (.*)$/.exec(lines[0] ?? "") ?? [];
    await acl(...statement.split(" "), ...(names === "eval" ? ["+evalsha"] : []));
    await startWorker(env);
    await backfillIsDone(env);
  });

  test("keys of another prefix are none of its business, and are said too", async () => {
    await signedIn();
    await acl("resetkeys", "~other:*");
    const env = { ...(await Promise.resolve(world.env)), REDIS_URL: redis.uri.replace("//", "//worker:secret@") };
    const ended = await run(env, "worker");
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain(`~${world.config.queuePrefix}:*`);
  });

  test.for([
    ["a right is taken away", ["-evalsha", "-eval"], "NOPERM"],
    ["the password is changed and the connections are ended", ["resetpass", ">other"], "WRONGPASS"],
  ] as const)("ends a running worker with a line that names the setting where %s", async ([, rules, says]) => {
    const env = await signedIn();
    const worker = await startWorker(env);
    await acl(...rules);
    await askRedis(redis, (admin) => admin.call("CLIENT", "KILL", "USER", "worker"));
    const { code, stderr } = await worker.ended;
    expect(code).toBe(1);
    const lines = stderr.split("\n").filter((line) => line.startsWith("tallyman: "));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(new RegExp(`refuses this user: .*${says}.*REDIS_URL`));
    expect(logged(stderr).length).toBeLessThan(40);
  });

  test("a wrong password ends a command at once", async () => {
    const env = { ...world.env, REDIS_URL: redis.uri.replace("//", "//worker:wrong@") };
    for (const args of [["status"], ["backfill", ...RANGE], ["queues", "pause"], ["worker"]]) {
      const ended = await run(env, ...args);
      expect(ended.stderr).toMatch(/tallyman: Redis at \S+ refuses this user: WRONGPASS .*REDIS_URL/);
      expect(ended.code).toBe(1);
    }
  });
});

describe("a Redis that answers every write with an error", () => {
  test("does not keep a core of a worker busy, and is worked with as soon as it takes writes again", async () => {
    const env = await signedIn();
    const worker = await startWorker(env);
    await askRedis(redis, (admin) => admin.config("SET", "maxmemory", "1"));
    try {
      const before = await askRedis(redis, commandsOf);
      // Long enough for thousands of rounds of a loop without a pause.
      await new Promise((resolve) => setTimeout(resolve, 3_000));
      expect((await askRedis(redis, commandsOf)) - before).toBeLessThan(300);
    } finally {
      await askRedis(redis, (admin) => admin.config("SET", "maxmemory", "0"));
    }
    await backfillIsDone(env);
    worker.signal("SIGTERM");
    const { code, stderr } = await worker.ended;
    expect(code).toBe(0);
    expect(logged(stderr).length).toBeLessThan(60);
  });

  const commandsOf = async (admin: { info(section: string): Promise<string> }) =>
    Number(/total_commands_processed:(\d+)/.exec(await admin.info("stats"))?.[1]);
});

describe("a Redis that accepts and never answers", () => {
  const proxy = openedForEach(() => TcpProxy.open(redis.uri));

  test.for([["status"], ["backfill", ...RANGE], ["queues", "pause"], ["worker"]])(
    "ends %s with 5 and a line that names the setting",
    async (args) => {
      proxy.silence();
      const ended = await run({ ...world.env, REDIS_URL: proxy.through(redis.uri) }, ...args);
      expect(ended.code).toBe(5);
      expect(ended.stderr).toMatch(/^tallyman: .*Redis cannot be reached at .*REDIS_URL.*\n$/m);
    },
  );

  test("lets a worker end at a signal, and answer whether it is alive", async () => {
    const worker = await startWorker({ ...world.env, REDIS_URL: proxy.through(redis.uri), LOG_LEVEL: "info" });
    proxy.silence();
    expect((await fetch(`${worker.address}/livez`)).status).toBe(200);
    worker.signal("SIGTERM");
    expect((await worker.ended).code).toBe(0);
  });
});

describe("a worker's standard error", () => {
  test("holds documents alone, whatever libraries print", async () => {
    const env = { ...world.env, REDIS_URL: redis.uri, LOG_LEVEL: "debug" };
    await askRedis(redis, (admin) => admin.config("SET", "maxmemory-policy", "allkeys-lru"));
    const worker = await startWorker(env);
    await redis.restart("SIGKILL");
    await backfillIsDone(env);
    process.kill(worker.pid, "SIGTERM");
    const { stderr } = await worker.ended;
    const lines = stderr.split("\n").filter((line) => line !== "");
    expect(lines.length).toBeGreaterThan(10);
    expect(lines.filter((line) => !isDocument(line))).toEqual([]);
  });

  const isDocument = (line: string) => {
    try {
      return typeof JSON.parse(line) === "object";
    } catch {
      return false;
    }
  };
});

test("a request that was begun and not ended does not keep a worker from stopping", async () => {
  const worker = await startWorker(world.env);
  const { hostname, port } = new URL(worker.address);
  const socket = connect(Number(port), hostname);
  await new Promise((resolve) => socket.once("connect", resolve));
  socket.write("GET /livez HTTP/1.1\r\nHost: a\r\n");
  const told = start(world.env, ["status"]); // the worker has the request by the time that this has ended
  await told.ended;
  worker.signal("SIGTERM");
  const { code, stderr } = await worker.ended;
  expect({ code, late: stderr.includes("did not stop in time") }).toEqual({ code: 0, late: false });
  socket.destroy();
});
