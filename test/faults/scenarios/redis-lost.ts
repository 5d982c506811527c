import { Redis } from "ioredis";
import { below } from "../../support/random.ts";
import type { Scene } from "../scene.ts";
import { ONE_AT_A_TIME, type Scenario } from "../scenario.ts";

/** Redis crashes and comes back empty, once or twice, after up to eight seconds. */
export const redisRestarted: Scenario = {
  name: "redis-restarted",
  owns: ["redis"],
  processes: 2,
  settings: ONE_AT_A_TIME,
  inject: (scene) =>
    loseRedis(scene, async () => {
      const signal = below(scene.random, 2) === 0 ? "SIGKILL" : "SIGTERM";
      const downMs = below(scene.random, 8_000);
      await scene.servers.redis.halt(signal);
      await new Promise((resolve) => setTimeout(resolve, downMs)); // how long it is away is part of the fault
      await scene.servers.redis.resume();
      return `${signal}, ${(downMs / 1_000).toFixed(1)} s down`;
    }),
};

/** Redis forgets everything while it runs, up to three times. */
export const redisWiped: Scenario = {
  name: "redis-wiped",
  owns: ["redis"],
  processes: 2,
  settings: ONE_AT_A_TIME,
  inject: (scene) =>
    loseRedis(scene, async (redis) => {
      await redis.flushall();
      return "wiped";
    }),
};

async function loseRedis(scene: Scene, lose: (redis: Redis) => Promise<string>) {
  const redis = new Redis(scene.servers.redis.uri, { maxRetriesPerRequest: null });
  redis.on("error", () => undefined);
  try {
    const runId = await scene.backfill();
    await scene.startReplica();
    await scene.startReplica();
    const moments: string[] = [];
    const hits: string[] = [];
    let at = performance.now();
    const times = 1 + below(scene.random, 2);
    for (let time = 0; time < times; time++) {
      moments.push(await scene.someMoment(runId, 5 + 30 * time, 30 + 30 * time));
      const keys = await redis.dbsize();
      const { held, done, planned } = await scene.progress(runId);
      at = performance.now();
      const how = await lose(redis);
      const left = await redis.dbsize();
      if (held.length > 0 && keys > 0)
        hits.push(`${how}: ${keys} keys, ${left} left, chunk ${held[0]?.number} in hand at ${done}/${planned}`);
    }
    return { moment: moments.join(", "), hit: hits.length === times ? hits.join("; ") : undefined, at };
  } finally {
    redis.disconnect();
  }
}
