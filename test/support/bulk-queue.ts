import { Queue } from "bullmq";
import { Redis } from "ioredis";
import type { World } from "./world.ts";

/** The queue of bulk work as Redis holds it, over a connection of its own. */
export class BulkQueue extends Queue {
  readonly redis: Redis;

  constructor({ env, config }: World) {
    const redis = new Redis(env["REDIS_URL"] as string, { maxRetriesPerRequest: null });
    super("bulk", { connection: redis, prefix: config.queuePrefix });
    this.redis = redis;
  }

  override async close(): Promise<void> {
    await super.close();
    this.redis.disconnect();
  }
}
