import type { Running } from "../../../dev/servers.ts";
import { below } from "../../support/random.ts";
import { until } from "../../support/until.ts";
import { runningAggregations } from "../aggregations.ts";
import { PATIENCE_MS } from "../built.ts";
import { ONE_AT_A_TIME, type Scenario } from "../scenario.ts";

/** Longer than the driver looks for a server, some of the time. */
const MOST_DOWN_MS = 14_000;

/**
 * FerretDB may crash, but the PostgreSQL behind it is only ever stopped: after a crash of that one a scan of
 * DocumentDB's index does not end and takes all memory (1.0-0 on PostgreSQL 18).
 */
const FAULTS = [
  ["front", (server: Running) => [server], ["SIGKILL", "SIGTERM"]],
  ["data", (server: Running) => [server.behind ?? server], ["SIGINT"]],
  ["front and data", (server: Running) => (server.behind ? [server, server.behind] : [server]), ["SIGINT"]],
] as const;

/** The server of the events goes down in the middle of an aggregation: the whole of it, or the part that holds the data. */
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
    const [what, parts, signals] = FAULTS[below(scene.random, FAULTS.length)] as (typeof FAULTS)[number];
    const signal = signals[below(scene.random, signals.length)] as NodeJS.Signals;
    const downMs = below(scene.random, MOST_DOWN_MS);
    const moment = await scene.someMoment(runId);
    const watch = await runningAggregations(source);
    try {
      const reads = await until("aggregation", async () => (await watch.count()) || undefined, PATIENCE_MS);
      const at = performance.now();
      const down = parts(mongodb);
      for (const part of down) await part.halt(signal);
      const { done, planned } = await scene.progress(runId);
      await new Promise((resolve) => setTimeout(resolve, downMs)); // how long it is away is part of the fault
      for (const part of [...down].reverse()) await part.resume(); // the front needs what is behind it
      const hit = `${signal} of ${what}, ${(downMs / 1_000).toFixed(1)} s down: ${reads} reads running at ${done}/${planned}`;
      return { moment, hit: done < planned ? hit : undefined, at };
    } finally {
      await watch.close();
    }
  },
};
