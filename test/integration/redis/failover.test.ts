import { connect } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startRedis, type PrivateServer } from "../../../dev/servers.ts";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { endProcesses, run, startWorker, untilWorked } from "../../support/process.ts";
import type { WorkerProcess } from "../../support/program.ts";
import {
  askRedis,
  follow,
  promote,
  startCluster,
  startPair,
  startSentinel,
  type RedisGroup,
} from "../../support/redis-servers.ts";
import { TcpProxy } from "../../support/tcp-proxy.ts";
import { useWorld } from "../../support/world.ts";

const DAY = "2026-02-27";

const world = useWorld("redis");
let day = 0;

beforeAll(() => world.insert(daysOfEvents("acme", DAY, 28, 2)));
beforeEach(() => world.empty("usage_chunk", "usage_change", "usage_undo", "usage_run", "daily_usage_cache"));
afterEach(endProcesses);
afterAll(endProcesses);

/** Asks for the rebuild of a day that no other test rebuilds, and waits for its end. */
async function backfillOneDay(env: Readonly<Record<string, string>>): Promise<void> {
  const date = `2026-03-${String(++day).padStart(2, "0")}`;
  const asked = await run(env, "backfill", "--from", date, "--to", date, "--json");
  expect(asked.code).toBe(0);
  const { run: backfill } = JSON.parse(asked.stdout) as { run: { id: string } };
  await untilWorked(`end of the backfill of ${date}`, async () => {
    const { rows } = await world.pool.query<{ state: string }>("SELECT state FROM usage_run WHERE id = $1", [
      backfill.id,
    ]);
    return rows[0]?.state === "done";
  });
}

/** Each line that it has written is a document, and of each message there are few. */
function expectQuiet(worker: WorkerProcess): void {
  const lines = worker
    .stderr()
    .split("\n")
    .filter((line) => line !== "");
  const counts = new Map<string, number>();
  for (const line of lines) {
    const { msg, err } = JSON.parse(line) as { msg: string; err?: { message: string } };
    const kind = `${msg}|${err?.message}`;
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  expect([...counts].filter(([, count]) => count > 20)).toEqual([]);
}

describe("a primary that becomes a replica under open connections", () => {
  let pair: RedisGroup;
  let proxy: TcpProxy;
  beforeAll(async () => {
    pair = await startPair();
    proxy = await TcpProxy.open((pair.servers[0] as PrivateServer).uri);
  });
  afterAll(async () => {
    await proxy.close();
    await pair.close();
  });

  test("does not keep a worker from working: it connects again, to the new one", async () => {
    const [old, next] = pair.servers as [PrivateServer, PrivateServer];
    const env = { ...world.env, REDIS_URL: proxy.through(old.uri), LOG_LEVEL: "info" };
    const worker = await startWorker(env);
    await backfillOneDay(env);
    proxy.leadTo(next.uri);
    await promote(next);
    await follow(old, next);
    await backfillOneDay(env);
    expect(await askRedis(next, (redis) => redis.keys(`${world.config.queuePrefix}:*`))).not.toEqual([]);
    expectQuiet(worker);
    worker.signal("SIGTERM");
    expect((await worker.ended).code).toBe(0);
  });
});

describe("a Redis that answers, but not yet", () => {
  /** A worker that works, then a fault, of which it hears, and which passes. */
  async function survives(redis: PrivateServer, answer: RegExp, fault: () => Promise<() => Promise<unknown>>) {
    const env = { ...world.env, REDIS_URL: redis.uri, LOG_LEVEL: "info" };
    const worker = await startWorker(env);
    await backfillOneDay(env);
    const passes = await fault();
    await untilWorked("the worker has the answer", async () => Promise.resolve(answer.test(worker.stderr())));
    await passes();
    await backfillOneDay(env);
    expectQuiet(worker);
    worker.signal("SIGTERM");
    expect((await worker.ended).code).toBe(0);
  }

  test("is waited for while it follows a primary that is away (MASTERDOWN)", async () => {
    const redis = await startRedis();
    try {
      await survives(redis, /MASTERDOWN/, async () => {
        await askRedis(redis, async (asked) => {
          await asked.config("SET", "replica-read-only", "no"); // else a write hears READONLY first
          await asked.config("SET", "replica-serve-stale-data", "no");
          await asked.replicaof("127.0.0.1", 1);
        });
        return () => promote(redis);
      });
    } finally {
      await endProcesses();
      await redis.stop();
    }
  });

  test("is waited for while it loads its data (LOADING)", async () => {
    // A key every tenth of a second, and an answer in between.
    const redisArgs = ["--key-load-delay", "100000", "--loading-process-events-interval-bytes", "1024"];
    const redis = await startRedis({ redisArgs });
    try {
      await survives(redis, /LOADING/, async () => {
        await askRedis(redis, async (asked) => {
          for (let n = 0; n < 60; n++) await asked.set(`filler:${n}`, "x".repeat(2_000));
          await asked.config("SET", "rdbcompression", "no");
          await asked.save();
        });
        await redis.halt("SIGKILL");
        const loaded = redis.resume();
        return () => loaded;
      });
    } finally {
      await endProcesses();
      await redis.stop();
    }
  });
});

describe("Sentinel", () => {
  let group: RedisGroup;
  beforeAll(async () => {
    group = await startSentinel();
  });
  afterAll(() => group.close());

  test("says where the primary is, also after a failover while a worker runs", async () => {
    const [primary, , sentinel] = group.servers as [PrivateServer, PrivateServer, PrivateServer];
    const env = {
      ...world.env,
      REDIS_URL: "redis://nobody.invalid:1", // the Sentinel knows better
      REDIS_SENTINELS: new URL(sentinel.uri).host,
      REDIS_SENTINEL_NAME: "primary",
      LOG_LEVEL: "info",
    };
    const worker = await startWorker(env);
    await backfillOneDay(env);
    const before = await primaryOf(sentinel);
    expect(before).toBe(new URL(primary.uri).port);
    await primary.halt("SIGKILL");
    await untilWorked("another primary", async () => (await primaryOf(sentinel)) !== before);
    await backfillOneDay(env);
    expectQuiet(worker);
    worker.signal("SIGTERM");
    expect((await worker.ended).code).toBe(0);
    await primary.resume();
  });

  test("that is away, or does not know the name, ends a command with the names of the settings", async () => {
    const [, , sentinel] = group.servers as [PrivateServer, PrivateServer, PrivateServer];
    const env = { ...world.env, REDIS_SENTINELS: new URL(sentinel.uri).host, REDIS_SENTINEL_NAME: "nobody" };
    for (const settings of [{}, { REDIS_SENTINELS: "127.0.0.1:1" }]) {
      const ended = await run({ ...env, ...settings }, "status");
      expect(ended.code).toBe(5);
      expect(ended.stderr).toMatch(/Check REDIS_URL, REDIS_SENTINELS, REDIS_SENTINEL_NAME and the server\.\n$/);
    }
  });

  const primaryOf = (sentinel: PrivateServer) =>
    askRedis(sentinel, async (redis) => {
      const [, port] = (await redis.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "primary")) as [string, string];
      return port;
    });
});

describe("a Redis Cluster", () => {
  let cluster: RedisGroup;
  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterAll(() => cluster.close());

  test("is found out by itself, and a node of it may fail while a worker runs", async () => {
    const prefix = `{${world.config.queuePrefix}}`;
    const slot = await askRedis(cluster.servers[0] as PrivateServer, (redis) => redis.cluster("KEYSLOT", prefix));
    const number = Math.floor((Number(slot) * 3) / 16_384);
    const [owner, other] = [number, (number + 1) % 3].map((n) => cluster.servers[n]) as [PrivateServer, PrivateServer];
    const env = { ...world.env, REDIS_URL: other.uri, LOG_LEVEL: "info" };
    const worker = await startWorker(env);
    await backfillOneDay(env);
    expect(await ownerOf(prefix)).toBe(owner);
    await owner.halt("SIGKILL");
    await untilWorked("its replica is the primary", async () => (await ownerOf(prefix).catch(() => owner)) !== owner);
    await backfillOneDay(env);
    expect(await run(env, "status")).toMatchObject({ code: 0 });
    expect(await run(env, "queues", "pause", "bulk")).toMatchObject({ code: 0 });
    expect(await run(env, "queues", "resume", "bulk")).toMatchObject({ code: 0 });
    expectQuiet(worker);
    worker.signal("SIGTERM");
    expect((await worker.ended).code).toBe(0);
    await owner.resume();
  });

  test("takes a prefix of which a part is in braces", async () => {
    const servers = cluster.servers;
    const prefix = `a{${world.config.queuePrefix}}`;
    const env = { ...world.env, REDIS_URL: (servers[0] as PrivateServer).uri, QUEUE_PREFIX: prefix };
    await startWorker(env);
    await backfillOneDay(env);
    const owner = await ownerOf(prefix);
    expect(await askRedis(owner, (redis) => redis.keys(`${prefix}:bulk:*`))).not.toEqual([]);
  });

  const isAway = (server: PrivateServer) =>
    new Promise((resolve) => {
      const socket = connect(Number(new URL(server.uri).port), "127.0.0.1", () => (socket.destroy(), resolve(false)));
      socket.on("error", () => resolve(true));
    });

  /** The primary that has the keys of the prefix. */
  async function ownerOf(prefix: string): Promise<PrivateServer> {
    for (const server of cluster.servers) {
      if (await isAway(server)) continue;
      const keys = await askRedis(server, async (redis) => {
        const role = (await redis.call("ROLE")) as [string];
        return role[0] === "master" ? redis.keys(`${prefix}:*`) : [];
      });
      if (keys.length > 0) return server;
    }
    throw new Error(`no node has a key of ${prefix}`);
  }
});

test("a single Redis takes a prefix in braces too", async () => {
  const redis = await startRedis();
  try {
    const env = { ...world.env, REDIS_URL: redis.uri, QUEUE_PREFIX: "{usage}" };
    await startWorker(env);
    await backfillOneDay(env);
  } finally {
    await endProcesses();
    await redis.stop();
  }
});
