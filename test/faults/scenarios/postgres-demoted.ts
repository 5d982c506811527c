import { setTimeout as sleep } from "node:timers/promises";
import { below } from "../../support/random.ts";
import { until } from "../../support/until.ts";
import { runBuilt } from "../built.ts";
import type { Scene } from "../scene.ts";
import { ONE_AT_A_TIME, type Scenario } from "../scenario.ts";

/** It is a standby for so long: longer than a supervisor needs to start a worker. */
const LEAST_S = 5;
const MOST_S = 25;

/**
 * The primary comes back as a standby, to which every connection string still leads, and is promoted after a while. What
 * was committed stays; nothing is written meanwhile.
 */
export const demotedPostgres: Scenario = {
  name: "demoted-postgres",
  owns: ["postgres"],
  processes: 2,
  settings: ONE_AT_A_TIME,
  async inject(scene) {
    const { postgres } = scene.servers;
    const runId = await scene.backfill();
    const replicas = [await scene.startReplica(), await scene.startReplica()];
    const standbyS = LEAST_S + below(scene.random, MOST_S - LEAST_S);
    const moment = await scene.someMoment(runId);
    const { held, done, planned } = await scene.progress(runId);
    await makeStandby(scene);
    await postgres.restart("SIGINT");
    const asked = await runBuilt(scene.env, "status");
    await sleep(standbyS * 1_000);
    const said = replicas.filter(({ log }) => log.includes("standby")).length;
    await promote(scene);
    const at = performance.now();
    return {
      moment,
      hit:
        held[0] && said > 0
          ? `standby for ${standbyS} s: ${said} workers refused, chunk ${held[0].number} in hand at ${done}/${planned}`
          : undefined,
      at,
      faults: () =>
        asked.code === 5 && asked.stderr.includes("leads to a standby")
          ? []
          : [`a command at the standby ended with ${asked.code}: ${asked.stderr}`],
    };
  },
};

/** As who restores a server from its copy does it: the file in its folder makes it a standby at the next start. */
async function makeStandby(scene: Scene): Promise<void> {
  const [row] = await scene.ask<{ folder: string }>("SELECT current_setting('data_directory') AS folder");
  await scene.ask(`COPY (SELECT) TO '${row?.folder}/standby.signal'`);
}

async function promote(scene: Scene): Promise<void> {
  await scene.ask("SELECT pg_promote(true, 60)");
  await until("end of the recovery", async () => {
    const [row] = await scene.ask<{ standby: boolean }>("SELECT pg_is_in_recovery() AS standby");
    return row?.standby === false;
  });
}
