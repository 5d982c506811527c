import type { Running } from "../../../dev/servers.ts";
import { below } from "../../support/random.ts";
import { shutReadGate } from "../read-gate.ts";
import { ONE_AT_A_TIME, type Scenario } from "../scenario.ts";

/** Longer than the driver looks for a server, some of the time. */
const MOST_DOWN_MS = 14_000;

/**
 * FerretDB may crash, but the PostgreSQL behind it is only ever stopped: after a crash of that one a scan of
 * DocumentDB's index does not end and takes all memory (1.0-0 on PostgreSQL 18).
 */
const FAULTS = [
  ["front", (server: Running) => [server], "SIGKILL"],
  ["data", (server: Running) => [server.behind ?? server], "SIGINT"],
  ["front and data", (server: Running) => (server.behind ? [server, server.behind] : [server]), "SIGINT"],
] as const;

/** The MongoDB server goes down in the middle of an aggregation: all of it, or its storage engine alone. */
export const mongoRestarted: Scenario = {
  name: "mongo-restarted",
  owns: ["mongodb"],
  processes: 2,
  settings: ONE_AT_A_TIME,
  async inject(scene) {
    const { mongodb, source } = scene.servers;
    const runId = await scene.backfill();
    await scene.startReplica();
    await scene.startReplica();
    const [what, parts, signal] = FAULTS[below(scene.random, FAULTS.length)] as (typeof FAULTS)[number];
    const downMs = below(scene.random, MOST_DOWN_MS);
    const moment = await scene.someMoment(runId);
    const gate = await shutReadGate(mongodb, source);
    try {
      const reads = await gate.readers();
      const { done, planned } = await scene.progress(runId);
      const at = performance.now();
      const down = parts(mongodb);
      for (const part of down) await part.halt(signal);
      await new Promise((resolve) => setTimeout(resolve, downMs)); // how long it is away is part of the fault
      for (const part of [...down].reverse()) await part.resume(); // the front needs what is behind it
      const hit = `${signal} of ${what}, ${(downMs / 1_000).toFixed(1)} s down: ${reads} at ${done}/${planned}`;
      return { moment, hit: done < planned ? hit : undefined, at };
    } finally {
      await gate.open();
    }
  },
};
