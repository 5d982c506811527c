import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startRedis, type PrivateServer } from "../../../dev/servers.ts";
import { connectRedis, explainRedisError } from "../../../src/db/redis/connect.ts";
import { UnreachableError } from "../../../src/errors.ts";
import { Queues } from "../../../src/queues/queues.ts";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { openedForEach } from "../../support/opened.ts";
import { PermitGate } from "../../support/permit-gate.ts";
import { endProcesses, run, startWorker, untilWorked } from "../../support/process.ts";
import type { Command } from "../../support/program.ts";
import { askRedis, startCluster, startPair, startSentinel, type RedisGroup } from "../../support/redis-servers.ts";
import { TcpProxy } from "../../support/tcp-proxy.ts";
import { useWorld } from "../../support/world.ts";

/** 640 tenant-days: five chunks */
const RANGE = { from: "2024-01-01", to: "2025-10-01" };
const CHUNKS = 5;

const world = useWorld("outage", { MONGODB_CONCURRENCY: "1", WORKER_CONCURRENCY: "1", LOG_LEVEL: "info" });
let redis: PrivateServer;
const proxy = openedForEach(() => TcpProxy.open(redis.uri));
const gate = openedForEach(() => PermitGate.create(world.env["DATABASE_URL"]));

beforeAll(async () => {
  redis = await startRedis();
  await world.insert(daysOfEvents("acme", RANGE.from, 640));
});
beforeEach(() => world.empty("usage_chunk", "usage_change", "usage_undo", "usage_run", "daily_usage_cache"));
afterEach(endProcesses); // before the gate and the proxy are closed
afterAll(() => redis.stop());

const through = () => ({ ...world.env, REDIS_URL: proxy.through(redis.uri) });

async function backfill(env: Readonly<Record<string, string>>): Promise<void> {
  const asked = await run(env, "backfill", "--from", RANGE.from, "--to", RANGE.to, "--json");
  expect(asked.code).toBe(0);
}

/** How many chunks of the backfill are in this state. A worker may add a nightly run of its own. */
async function chunks(state: string): Promise<number> {
  const { rows } = await world.pool.query(
    "SELECT FROM usage_chunk k JOIN usage_run r ON r.id = k.run_id WHERE r.kind = 'backfill' AND k.state = $1",
    [state],
  );
  return rows.length;
}

/** The claim under which the backfill's first chunk is worked on. */
async function claim(): Promise<string | null | undefined> {
  const { rows } = await world.pool.query<{ claim: string | null }>(
    "SELECT k.claim::text FROM usage_chunk k JOIN usage_run r ON r.id = k.run_id WHERE r.kind = 'backfill' AND number = 0",
  );
  return rows[0]?.claim;
}

interface Line {
  readonly msg: string;
  readonly err?: { readonly message: string };
}
const logged = (worker: Command) =>
  worker
    .stderr()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Line);

describe("a Redis that falls silent under a worker at work", () => {
  test("is noticed and connected to again; the chunk in hand stays in hand, and the run goes on", async () => {
    await gate.shut();
    const worker = await startWorker(through());
    await backfill({ ...world.env, REDIS_URL: redis.uri });
    await untilWorked("chunk in hand", async () => (await chunks("running")) === 1);
    const claimed = await claim();
    proxy.silence();
    const isSilence = ({ err }: Line) => /Socket timeout|timed out/.test(err?.message ?? "");
    await untilWorked("notice of the silence", () => logged(worker).some(isSilence));
    await untilWorked("end of the queue's lock", async () => {
      return (await askRedis(redis, (admin) => admin.keys(`${world.config.queuePrefix}:bulk:*:lock`))).length === 0;
    });
    proxy.restore();
    await untilWorked("word of the lock", () => logged(worker).some(({ msg }) => msg.startsWith("the queue")));
    expect(await claim()).toBe(claimed); // it is PostgreSQL that says who works on a chunk
    await gate.open();
    await untilWorked("end of the run", async () => (await chunks("done")) === CHUNKS);
    const { rows } = await world.pool.query("SELECT FROM usage_chunk WHERE attempts > 0");
    expect(rows).toEqual([]);
    worker.signal("SIGTERM");
    const { code } = await worker.ended;
    expect(code).toBe(0);
    expect(logged(worker).length).toBeLessThan(60);
  });

  test("does not keep it from stopping with a job in hand, nor from saying that it is alive", async () => {
    await gate.shut();
    const worker = await startWorker(through());
    await backfill({ ...world.env, REDIS_URL: redis.uri });
    await untilWorked("chunk in hand", async () => (await chunks("running")) === 1);
    proxy.silence();
    const health = await fetch(`${worker.address}/livez`);
    expect([health.status, await health.json()]).toEqual([200, { alive: true, stuck: [] }]);
    worker.signal("SIGTERM");
    expect((await worker.ended).code).toBe(0);
    const said = logged(worker).map(({ msg }) => msg);
    expect(said).toContain("job handed back");
    expect(said).not.toContain("worker did not stop in time; another one repeats its unfinished work");
    expect(said.at(-1)).toBe("worker stopped");
    expect(await chunks("pending")).toBe(CHUNKS);
  });
});

describe("a node of a Redis Cluster that freezes, and breaks no connection", () => {
  let cluster: RedisGroup;
  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterAll(() => cluster.close());

  /** The primary that holds the key, as this node knows it. */
  async function ownerOf(key: string, asked: PrivateServer): Promise<PrivateServer> {
    const port = await askRedis(asked, async (client) => {
      const slot = await client.cluster("KEYSLOT", key);
      const range = (await client.cluster("SLOTS")).find(([from, to]) => from <= slot && slot <= to);
      return range?.[2]?.[1];
    });
    return cluster.servers.find(({ uri }) => new URL(uri).port === String(port)) as PrivateServer;
  }

  test("does not hold up a worker, which goes on with the replica that is the primary now", async () => {
    const key = `{${world.config.queuePrefix}}`;
    const owner = await ownerOf(key, cluster.servers[0] as PrivateServer);
    const others = cluster.servers.filter((server) => server !== owner);
    const env = { ...world.env, REDIS_URL: (others[0] as PrivateServer).uri };
    await gate.shut();
    const worker = await startWorker(env);
    await backfill(env);
    await untilWorked("chunk in hand", async () => (await chunks("running")) === 1);
    process.kill(owner.pid as number, "SIGSTOP");
    try {
      await untilWorked("another primary", async () => (await ownerOf(key, others[0] as PrivateServer)) !== owner);
      await gate.open();
      await untilWorked("end of the run", async () => (await chunks("done")) === CHUNKS);
    } finally {
      process.kill(owner.pid as number, "SIGCONT");
    }
    expect(logged(worker).length).toBeLessThan(60);
    worker.signal("SIGTERM");
    expect((await worker.ended).code).toBe(0);
  });
});

describe("a command", () => {
  let pair: RedisGroup;
  beforeAll(async () => {
    pair = await startPair();
  });
  afterAll(() => pair.close());

  test.for([["worker"], ["queues", "pause", "bulk"]])("that is led to a replica says so (%s)", async (args) => {
    const ended = await run({ ...world.env, REDIS_URL: (pair.servers[1] as PrivateServer).uri }, ...args);
    await run({ ...world.env, REDIS_URL: redis.uri }, "queues", "resume", "bulk");
    expect(ended.stderr).toMatch(/ is a replica, which takes no writes\. Lead REDIS_URL to the primary\.\n$/);
    expect(ended.code).toBe(5);
  });

  test("that is led to a Sentinel names the setting for it", async () => {
    const group = await startSentinel();
    try {
      const sentinel = group.servers.at(-1) as PrivateServer;
      const ended = await run({ ...world.env, REDIS_URL: sentinel.uri }, "worker");
      expect(ended.stderr).toMatch(/If it is a Sentinel, name it in REDIS_SENTINELS\.\n$/);
      expect(ended.code).toBe(1);
    } finally {
      await group.close();
    }
  });

  test("whose Redis falls silent after it has connected hears of it, with the setting", async () => {
    const address = { url: proxy.through(redis.uri), sentinels: [], sentinelName: "mymaster" };
    const client = await connectRedis(address);
    const explain = (error: unknown) => explainRedisError(address, error);
    const queues = new Queues(client, world.config.queuePrefix, () => undefined, explain);
    try {
      await queues.counts();
      proxy.silence();
      const refused = queues.counts();
      await expect(refused).rejects.toThrow(UnreachableError);
      await expect(refused).rejects.toThrow(
        /^Redis cannot be reached at .*timed out\. Check REDIS_URL and the server\.$/,
      );
    } finally {
      await queues.close();
      client.disconnect();
    }
  });
});
