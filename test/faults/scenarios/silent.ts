import { setTimeout as sleep } from "node:timers/promises";
import { below } from "../../support/random.ts";
import { TcpProxy } from "../../support/tcp-proxy.ts";
import { runBuilt, type Env } from "../built.ts";
import { ONE_AT_A_TIME, type Scenario } from "../scenario.ts";
import type { Scene } from "../scene.ts";

/** MongoDB accepts connections and says nothing: longer than all attempts of a chunk would last. */
export const silentMongodb = silent("silent-mongodb", "MONGODB_URI", { least: 60, most: 150 });

/** PostgreSQL accepts connections and says nothing. */
export const silentPostgres = silent("silent-postgres", "DATABASE_URL", { least: 10, most: 60 });

/** Redis accepts connections and says nothing; a command that asks it ends all the same. */
export const silentRedis = silent("silent-redis", "REDIS_URL", { least: 10, most: 60 }, async (env) => {
  const { code, stderr } = await runBuilt(env, "status");
  // The command's own limit may end after the silence.
  return code === 5 || code === 0 ? [] : [`status ended with ${code}: ${stderr}`];
});

/**
 * A server falls silent under two workers, as behind a network that drops every packet, and answers again after a while.
 * What has waited meanwhile arrives then.
 *
 * @param meanwhile what else is done while it is silent, and what was wrong
 */
function silent(
  name: string,
  setting: "MONGODB_URI" | "DATABASE_URL" | "REDIS_URL",
  { least, most }: { readonly least: number; readonly most: number },
  meanwhile?: (env: Env) => Promise<readonly string[]>,
): Scenario {
  return {
    name,
    owns: [],
    processes: meanwhile ? 3 : 2,
    settings: ONE_AT_A_TIME,
    async inject(scene: Scene) {
      const uri = scene.env[setting] as string;
      const proxy = await TcpProxy.open(uri);
      const env = { [setting]: proxy.through(uri) };
      const runId = await scene.backfill();
      await scene.startReplica(env);
      await scene.startReplica(env);
      const silentS = least + below(scene.random, most - least);
      const moment = await scene.someMoment(runId);
      const { held, done, planned } = await scene.progress(runId);
      proxy.silence();
      const over = sleep(silentS * 1_000); // how long it is silent is the fault
      const found = (await meanwhile?.({ ...scene.env, ...env })) ?? [];
      await over;
      proxy.restore();
      const at = performance.now();
      return {
        moment,
        hit: held[0] && `silent for ${silentS} s, chunk ${held[0].number} in hand at ${done}/${planned}`,
        at,
        faults: async () => {
          await proxy.close();
          return [...found, ...(await scene.spentAttempts(runId, "a silent server"))];
        },
      };
    },
  };
}
