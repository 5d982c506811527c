import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { Redis } from "ioredis";
import { startRedis, type PrivateServer } from "../../dev/servers.ts";
import { until } from "./until.ts";

/** Some Redis servers that belong together, and end together. */
export interface RedisGroup {
  readonly servers: readonly PrivateServer[];
  close(): Promise<void>;
}

/** A connection of a test's own, which says nothing of errors. */
export function redisOf({ uri }: Pick<PrivateServer, "uri">): Redis {
  const redis = new Redis(uri, { maxRetriesPerRequest: null });
  redis.on("error", () => undefined);
  return redis;
}

/** Asks a server once. */
export async function askRedis<T>(server: Pick<PrivateServer, "uri">, ask: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = redisOf(server);
  try {
    return await ask(redis);
  } finally {
    redis.disconnect();
  }
}

const portOf = ({ uri }: Pick<PrivateServer, "uri">) => new URL(uri).port;

/** A primary and its replica, which has its data. */
export async function startPair(): Promise<RedisGroup> {
  const servers = await Promise.all([startRedis(), startRedis()]);
  const [primary, replica] = servers;
  await follow(replica, primary);
  return { servers, close: () => closeAll(servers) };
}

/** Makes a server the replica of another, and waits until it has its data. */
export async function follow(replica: PrivateServer, primary: PrivateServer): Promise<void> {
  await askRedis(replica, async (redis) => {
    await redis.replicaof("127.0.0.1", portOf(primary));
    await until("link to the primary", async () => /master_link_status:up/.test(await redis.info("replication")));
  });
}

/** Makes a replica the primary. */
export async function promote(replica: PrivateServer): Promise<void> {
  await askRedis(replica, (redis) => redis.replicaof("NO", "ONE"));
}

/** A pair that a Sentinel watches, which is the last of the servers; the primary's name is "primary". */
export async function startSentinel(): Promise<RedisGroup> {
  const pair = await startPair();
  const folder = await mkdtemp(path.join(tmpdir(), "tallyman-sentinel-"));
  const file = path.join(folder, "sentinel.conf");
  const [primary] = pair.servers as [PrivateServer];
  const lines = [
    `sentinel monitor primary 127.0.0.1 ${portOf(primary)} 1`,
    "sentinel down-after-milliseconds primary 1000",
    "sentinel failover-timeout primary 5000",
  ];
  await writeFile(file, `${lines.join("\n")}\n`);
  const sentinel = await startRedis({ redisArgs: [file, "--sentinel"] });
  await askRedis(sentinel, (redis) =>
    until("the replica is known", async () => {
      const replicas = (await redis.call("SENTINEL", "REPLICAS", "primary")) as unknown[];
      return replicas.length > 0;
    }),
  );
  return {
    servers: [...pair.servers, sentinel],
    async close() {
      await closeAll([sentinel]);
      await pair.close();
      await rm(folder, { recursive: true });
    },
  };
}

const SLOTS = 16_384;

/** A cluster of three primaries with a replica of each; the replicas come last, in the order of their primaries. */
export async function startCluster(): Promise<RedisGroup> {
  const redisArgs = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
  const servers = await Promise.all(Array.from({ length: 6 }, () => startRedis({ redisArgs })));
  const first = servers[0] as PrivateServer;
  const ids = await Promise.all(
    servers.map((server, number) =>
      askRedis(server, async (redis) => {
        await redis.cluster("SET-CONFIG-EPOCH", number + 1);
        await redis.cluster("MEET", "127.0.0.1", portOf(first));
        return await redis.cluster("MYID");
      }),
    ),
  );
  for (const [number, server] of servers.entries()) {
    await askRedis(server, async (redis) => {
      await until("every node is known", async () => nodesOf(await redis.cluster("NODES")).length === servers.length);
      if (number < 3) {
        const edge = (n: number) => Math.floor((SLOTS * n) / 3);
        await redis.cluster("ADDSLOTSRANGE", edge(number), edge(number + 1) - 1);
      } else await redis.cluster("REPLICATE", ids[number - 3] as string);
    });
  }
  for (const [number, server] of servers.entries()) {
    await askRedis(server, (redis) =>
      until("the cluster is whole", async () => {
        const isWhole = (await redis.cluster("INFO")).includes("cluster_state:ok");
        const link = await redis.info("replication");
        return isWhole && (number < 3 ? /connected_slaves:1/ : /master_link_status:up/).test(link);
      }),
    );
  }
  return { servers, close: () => closeAll(servers) };
}

function nodesOf(nodes: unknown): string[] {
  return String(nodes)
    .split("\n")
    .filter((line) => line !== "" && !/handshake|noaddr/.test(line));
}

async function closeAll(servers: readonly PrivateServer[]): Promise<void> {
  await Promise.all(servers.map((server) => server.stop()));
}
