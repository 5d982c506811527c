import { setTimeout as sleep } from "node:timers/promises";
import { Cluster, Redis } from "ioredis";
import { UnreachableError, UsageError } from "../../errors.ts";
import { redact } from "../../redact.ts";
import { addressOptions, isRefused, reconnectOnError, type Options, type RedisAddress } from "./address.ts";

/** A connection to a Redis of its own, or to a Redis Cluster. */
export type RedisClient = Redis | Cluster;

/** A connection whose server has said nothing for so long is of no use. The queue's longest wait for a job is 10 s. */
const SILENT_MS = 15_000;
/** A worker's connection is tried so often, and after so many tries without an answer made again. */
const BEAT_MS = 5_000;
const MOST_SILENT_BEATS = 3;
/** The pause before a connection is made again: 0.5 s, doubled up to the limit. */
const RECONNECT_MS = { first: 500, most: 5_000 };

/** What every connection has. Without the driver's own check it needs no right to INFO. */
const EVERYWHERE = { enableReadyCheck: false, connectTimeout: 5_000, commandTimeout: SILENT_MS } as const;

/** Options for a command's connection: one attempt; the driver's default is to retry for ever. */
export const COMMAND_OPTIONS = {
  ...EVERYWHERE,
  commandTimeout: 10_000,
  lazyConnect: true,
  maxRetriesPerRequest: 1,
  retryStrategy: () => null,
  enableOfflineQueue: false,
} as const satisfies Options;

/**
 * For commands: fails at once if Redis does not answer.
 *
 * @throws UnreachableError if it does not answer within 10 s
 * @throws UsageError if it refuses the user
 */
export async function connectRedis(address: RedisAddress): Promise<RedisClient> {
  const single = newSingle(address, { ...COMMAND_OPTIONS, sentinelRetryStrategy: () => null });
  const errors: Error[] = [];
  const opened: RedisClient[] = [single];
  single.on("error", (error: Error) => errors.push(error));
  const connect = async (): Promise<RedisClient> => {
    await single.connect();
    await single.ping();
    if (address.sentinels.length > 0 || !(await isCluster(single))) return single;
    single.disconnect();
    const cluster = clusterOf(address, COMMAND_OPTIONS, { clusterRetryStrategy: () => null, lazyConnect: true });
    opened.push(cluster);
    cluster.on("error", (error: Error) => errors.push(error));
    await cluster.connect();
    await cluster.exists("anything");
    return cluster;
  };
  try {
    return await inTime(connect());
  } catch (error) {
    for (const client of opened) client.disconnect();
    throw redisError(address, errors.find(isRefused) ?? errors[0] ?? (error as Error), error);
  }
}

/** A cluster of which a part is away keeps some calls waiting for ever. @throws where the answer takes too long */
export async function inTime<T>(work: Promise<T>): Promise<T> {
  const over = new AbortController();
  const limit = sleep(COMMAND_OPTIONS.commandTimeout, undefined, { signal: over.signal }).then(() => {
    throw new UnreachableError(`no answer within ${COMMAND_OPTIONS.commandTimeout / 1_000} seconds`);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    over.abort();
    limit.catch(() => undefined);
    work.catch(() => undefined);
  }
}

/** For the worker: waits for Redis to come back, however long that takes, as the queue library demands. */
export function createWorkerRedis(address: RedisAddress, isCluster: boolean, onError: (error: Error) => void) {
  const retry = (times: number) => Math.min(RECONNECT_MS.first * 2 ** (times - 1), RECONNECT_MS.most);
  const options = { ...EVERYWHERE, maxRetriesPerRequest: null, retryStrategy: retry, reconnectOnError };
  const client = isCluster
    ? clusterOf(address, options, { clusterRetryStrategy: retry })
    : newSingle(address, { ...options, sentinelRetryStrategy: retry });
  client.on("error", onError);
  return watched(client);
}

/** A connection string may hold more options; with Sentinel, host and port come from there. */
function newSingle(address: RedisAddress, options: Options): Redis {
  return address.sentinels.length === 0
    ? new Redis(address.url, options)
    : new Redis({ ...options, ...addressOptions(address) });
}

/** Is the server one node of a Redis Cluster? It answers for some of the keys alone. */
async function isCluster(redis: Redis): Promise<boolean> {
  try {
    await redis.cluster("INFO");
    return true;
  } catch (error) {
    if (!isRefused(error)) return false; // "This instance has cluster support disabled"
    const asked = await Promise.allSettled(["a", "b", "c", "d", "e", "f"].map((key) => redis.exists(key)));
    return asked.some(({ status, reason }: { status: string; reason?: unknown }) => {
      return status === "rejected" && (reason as Error).message.startsWith("MOVED");
    });
  }
}

function clusterOf(
  address: RedisAddress,
  options: Options,
  own: { clusterRetryStrategy: (times: number) => number | null; lazyConnect?: boolean },
): Cluster {
  const { host, port, db: _onlyZero, ...signIn } = addressOptions(address);
  // The cluster client has its own ways to connect again, and to find who serves a key by now.
  const { retryStrategy: _, enableOfflineQueue: __, lazyConnect: ___, reconnectOnError: ____, ...each } = options;
  return new Cluster([{ host: host as string, port: port as number }], {
    ...own,
    slotsRefreshTimeout: 5_000,
    redisOptions: { ...each, ...signIn },
  });
}

/**
 * Makes the connection again when its server has gone silent: one that is gone with its machine is never heard of again.
 * The queue's own blocking connections are watched by the queue library.
 */
function watched(client: RedisClient): RedisClient {
  let silent = 0;
  const beat = setInterval(() => {
    if (client.status === "end") return clearInterval(beat);
    if (client.status !== "ready") {
      silent = 0; // it is being made again
      return;
    }
    if (silent >= MOST_SILENT_BEATS) {
      silent = 0;
      return client.disconnect(true);
    }
    if (silent++ > 0) return;
    client.ping().then(
      () => (silent = 0),
      (error: unknown) => {
        if (isRefused(error)) silent = 0; // an answer too
      },
    );
  }, BEAT_MS);
  beat.unref();
  return client;
}

/** An error of a connection as the operator should read it. */
export function redisError({ url, sentinels }: RedisAddress, reason: Error, cause: unknown = reason): Error {
  const where = sentinels.length === 0 ? redact(url) : `the primary that ${sentinels.map(redact).join(", ")} name`;
  const settings = sentinels.length === 0 ? "REDIS_URL" : "REDIS_URL, REDIS_SENTINELS, REDIS_SENTINEL_NAME";
  const message = reason.message || "no answer";
  if (isRefused(reason)) {
    return new UsageError(
      `Redis at ${where} refuses this user: ${message}. Check user and password in REDIS_URL, and the user's rights.`,
      { cause },
    );
  }
  return new UnreachableError(`Redis cannot be reached at ${where}: ${message}. Check ${settings} and the server.`, {
    cause,
  });
}

/** The eviction policy; undefined if the server does not give it. Only "noeviction" never loses jobs. */
export async function evictionPolicy(redis: RedisClient): Promise<string | undefined> {
  try {
    const answer = await redis.config("GET", "maxmemory-policy");
    return answer[1];
  } catch {
    return undefined;
  }
}
