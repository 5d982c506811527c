import { setTimeout as sleep } from "node:timers/promises";
import { Cluster, Redis } from "ioredis";
import { OperatorError, UnreachableError, UsageError } from "../../errors.ts";
import { redact } from "../../redact.ts";
import { addressOptions, isRefused, isUnfit, reconnectOnError, type Options, type RedisAddress } from "./address.ts";

/** A connection to a Redis of its own, or to a Redis Cluster. */
export type RedisClient = Redis | Cluster;

/**
 * A connection whose server leaves a command without an answer for so long is of no use, and is made again. The queue's
 * longest wait for a job is 10 s.
 */
const SILENT_MS = 15_000;
/** The pause before a connection is made again: 0.5 s, doubled up to the limit. */
const RECONNECT_MS = { first: 500, most: 5_000 };

/** What every connection has. Without the driver's own check it needs no right to INFO. */
const EVERYWHERE = { enableReadyCheck: false, connectTimeout: 5_000 } as const;

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

/** The connections of a worker; the queue library makes further ones of the first. */
export interface WorkerRedis {
  /**
   * For what takes jobs: waits for Redis to come back, however long that takes. A limit for its commands would do harm: the
   * driver still sends a command that was given up, and a job that it takes then is nobody's.
   */
  readonly jobs: RedisClient;
  /** for all else: a command fails when Redis does not answer in time */
  readonly queues: RedisClient;
  /** closes all of them, also those that the queue library forgets when Redis is away at the end */
  disconnect(): void;
}

/**
 * A connection that lives but does not serve is made again: a replica's, and a silent one.
 *
 * @param found the connection of a command to the same address
 */
export function createWorkerRedis(
  address: RedisAddress,
  found: RedisClient,
  onError: (error: Error) => void,
): WorkerRedis {
  const retry = (times: number) => Math.min(RECONNECT_MS.first * 2 ** (times - 1), RECONNECT_MS.most);
  const clients: RedisClient[] = [];
  const keep = (client: RedisClient): RedisClient => {
    clients.push(client);
    client.on("error", onError);
    const duplicate = client.duplicate.bind(client) as (...options: unknown[]) => RedisClient;
    return Object.assign(client, { duplicate: (...options: unknown[]) => keep(duplicate(...options)) });
  };
  const create = (limits: Options): RedisClient => {
    const options = {
      ...EVERYWHERE,
      ...limits,
      socketTimeout: SILENT_MS,
      maxRetriesPerRequest: null, // as the queue library demands
      retryStrategy: retry,
      reconnectOnError,
    };
    if (!(found instanceof Cluster)) return keep(newSingle(address, { ...options, sentinelRetryStrategy: retry }));
    const nodes = found.nodes().map(({ options: { host, port } }) => ({ host: host as string, port: port as number }));
    return keep(clusterOf(address, options, { clusterRetryStrategy: retry }, nodes));
  };
  return {
    jobs: create({}),
    queues: create({ commandTimeout: SILENT_MS }),
    disconnect() {
      for (const client of clients) client.disconnect();
    },
  };
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

/** @param nodes that are known, for when the one of the address is away */
function clusterOf(
  address: RedisAddress,
  options: Options,
  own: { clusterRetryStrategy: (times: number) => number | null; lazyConnect?: boolean },
  nodes: readonly { host: string; port: number }[] = [],
): Cluster {
  const { host, port, db: _onlyZero, ...signIn } = addressOptions(address);
  // The cluster client has its own ways to connect again, and to find who serves a key by now.
  const { retryStrategy: _, enableOfflineQueue: __, lazyConnect: ___, reconnectOnError: ____, ...each } = options;
  return new Cluster([{ host: host as string, port: port as number }, ...nodes], {
    ...own,
    slotsRefreshTimeout: 5_000,
    redisOptions: { ...each, ...signIn },
  });
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
  if (/\bREADONLY\b/.test(message)) {
    return new UnreachableError(
      `Redis at ${where} is a replica, which takes no writes. Lead ${settings} to the primary.`,
      {
        cause,
      },
    );
  }
  if (/unknown command/i.test(message)) {
    return new UsageError(
      `Redis at ${where} does not know what the queue needs: ${message}. If it is a Sentinel, name it in REDIS_SENTINELS.`,
      { cause },
    );
  }
  return new UnreachableError(`Redis cannot be reached at ${where}: ${message}. Check ${settings} and the server.`, {
    cause,
  });
}

/** Does the error mean that Redis is away or silent, rather than that a command of ours is wrong? */
function isAway(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message: string };
  if (typeof code === "string" && /^(ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOST|ENET)/.test(code)) return true;
  return /connection is closed|timed? ?out|isn't writeable|startup nodes|slots cache|sentinels are unreachable|max retries|unknown command/i.test(
    message,
  );
}

/** What an error of an open connection means to an operator; an error of another kind comes back as it is. */
export function explainRedisError(address: RedisAddress, error: unknown): Error {
  if (error instanceof OperatorError) return error;
  const isKnown = isAway(error) || isUnfit(error) || isRefused(error);
  return isKnown ? redisError(address, error as Error) : (error as Error);
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
