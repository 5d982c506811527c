import { Redis, type RedisOptions } from "ioredis";
import { UnreachableError } from "../errors.ts";
import { redact } from "../redact.ts";

/** Options for a command's connection: one attempt; the driver's default is to retry for ever. */
export const COMMAND_OPTIONS = {
  lazyConnect: true,
  connectTimeout: 5_000,
  maxRetriesPerRequest: 1,
  retryStrategy: () => null,
  enableOfflineQueue: false,
} as const satisfies RedisOptions;

/** For commands: fails at once if Redis does not answer. */
export async function connectRedis(url: string): Promise<Redis> {
  const redis = new Redis(url, COMMAND_OPTIONS);
  const errors: Error[] = [];
  redis.on("error", (error: Error) => errors.push(error));
  try {
    await redis.connect();
    await redis.ping();
    return redis;
  } catch (error) {
    redis.disconnect();
    const reason = errors[0] ?? (error as Error);
    throw new UnreachableError(
      `Redis cannot be reached at ${redact(url)}: ${reason.message || "no answer"}. Check REDIS_URL and the server.`,
      {
        cause: error,
      },
    );
  }
}

/** For the worker: waits for Redis to come back, however long that takes, as the queue library demands. */
export function createWorkerRedis(url: string, onError: (error: Error) => void): Redis {
  const redis = new Redis(url, { maxRetriesPerRequest: null });
  redis.on("error", onError);
  return redis;
}

/** The eviction policy; undefined if the server does not give it. Only "noeviction" never loses jobs. */
export async function evictionPolicy(redis: Redis): Promise<string | undefined> {
  try {
    const answer = await redis.config("GET", "maxmemory-policy");
    return answer[1];
  } catch {
    return undefined;
  }
}
