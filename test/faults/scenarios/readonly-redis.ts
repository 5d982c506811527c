import { askRedis, follow, promote } from "../../support/redis-servers.ts";
import { startRedis, type PrivateServer } from "../../../dev/servers.ts";
import { TcpProxy } from "../../support/tcp-proxy.ts";
import { ONE_AT_A_TIME, type Scenario } from "../scenario.ts";

/**
 * The replica of Redis becomes the primary, and the old primary its replica: the workers' open connections lead to one that
 * takes no writes, and new ones to the new primary.
 */
export const readonlyRedis: Scenario = {
  name: "readonly-redis",
  owns: ["redis"],
  processes: 2,
  settings: ONE_AT_A_TIME,
  async inject(scene) {
    const old = scene.servers.redis;
    await askRedis(old, (redis) => redis.replicaof("NO", "ONE")); // an earlier round made it a replica
    const next = await startRedis();
    try {
      await follow(next, old);
      return await failOver(next);
    } catch (error) {
      await next.stop();
      throw error;
    }

    async function failOver(to: PrivateServer) {
      const proxy = await TcpProxy.open(old.uri);
      const env = { REDIS_URL: proxy.through(old.uri) };
      const runId = await scene.backfill();
      await scene.startReplica(env);
      await scene.startReplica(env);
      const moment = await scene.someMoment(runId);
      const { held, done, planned } = await scene.progress(runId);
      proxy.leadTo(to.uri);
      await promote(to);
      await follow(old, to);
      const at = performance.now();
      return {
        moment,
        hit: held[0] && `chunk ${held[0].number} in hand at ${done}/${planned}`,
        at,
        async faults() {
          const keys = await askRedis(to, (redis) => redis.keys(`${scene.env["QUEUE_PREFIX"]}:*`));
          await proxy.close();
          await to.stop();
          return keys.length > 0 ? [] : ["the new primary has no key"];
        },
      };
    }
  },
};
