import { below } from "../../support/random.ts";
import { ONE_AT_A_TIME, type Scenario } from "../scenario.ts";
import { WriteGate } from "../write-gate.ts";

/** A fast stop, an immediate one, and a crash. */
const ENDS = ["SIGINT", "SIGQUIT", "SIGKILL"] as const;

/** PostgreSQL goes down between the upsert of a batch and its commit, and is back within seconds. */
export const postgresRestarted: Scenario = {
  name: "postgres-restarted",
  owns: ["postgres"],
  processes: 2,
  settings: ONE_AT_A_TIME,
  async inject(scene) {
    const { postgres } = scene.servers;
    const runId = await scene.backfill();
    const replicas = [await scene.startReplica(), await scene.startReplica()];
    const signal = ENDS[below(scene.random, ENDS.length)] as (typeof ENDS)[number];
    const downMs = below(scene.random, 5_000);
    const moment = await scene.someMoment(runId);
    const gate = await WriteGate.shut(scene.databaseUrl);
    const writer = await gate.writer();
    const { done, planned } = await scene.progress(runId);
    const at = performance.now();
    await postgres.halt(signal);
    await new Promise((resolve) => setTimeout(resolve, downMs)); // how long it is away is part of the fault
    await postgres.resume();
    await gate.open();
    const seconds = (downMs / 1_000).toFixed(1);
    return {
      moment,
      hit: `${signal}, ${seconds} s down: ${writer} at ${done}/${planned}`,
      at,
      // It has lost its locks with the server, so it must end; the supervisor starts it again.
      faults: () =>
        replicas.some(({ exits }) => exits.some((code) => code !== 5))
          ? [`workers ended with ${replicas.map(({ exits }) => exits.join()).join("; ")}, not with 5`]
          : [],
    };
  },
};
