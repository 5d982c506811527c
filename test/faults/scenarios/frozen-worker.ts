import { below } from "../../support/random.ts";
import { until } from "../../support/until.ts";
import { PATIENCE_MS } from "../built.ts";
import { shutReadGate } from "../read-gate.ts";
import type { Replica } from "../replica.ts";
import type { Scene } from "../scene.ts";
import { ONE_AT_A_TIME, type Injection, type Scenario } from "../scenario.ts";
import { WriteGate } from "../write-gate.ts";

/** A worker is frozen with the lock of the change feed in hand, which every write of the others needs. */
export const frozenAtTheLock = frozen("frozen-at-lock", {}, async (scene, runId) => {
  const gate = await WriteGate.shut(scene.databaseUrl);
  const replica = await scene.startReplica();
  const writer = await gate.writer(); // it waits for the lock, and gets it while it is frozen
  replica.signal("SIGSTOP");
  await gate.open();
  const moment = await scene.progress(runId);
  return { replica, moment: "in its first write", hit: `${writer} at ${moment.done}/${moment.planned}` };
});

/** A worker is frozen in the middle of a read, with the only permit for aggregations in hand. */
export const frozenWithPermits = frozen(
  "frozen-with-permits",
  { WORKER_CONCURRENCY: "1", MONGODB_CONCURRENCY: "1" },
  async (scene, runId) => {
    const replica = await scene.startReplica();
    const moment = await scene.someMoment(runId, 5, 40);
    const gate = await shutReadGate(scene.servers.mongodb, scene.source);
    const reads = await gate.readers();
    replica.signal("SIGSTOP");
    await gate.open();
    const { done, planned } = await scene.progress(runId);
    return { replica, moment, hit: done < planned ? `${reads} at ${done}/${planned}` : undefined };
  },
);

/** A worker is frozen at any moment of a chunk. */
export const frozenMidChunk = frozen("frozen-mid-chunk", {}, async (scene, runId) => {
  const replica = await scene.startReplica();
  const moment = await scene.someMoment(runId, 5, 60);
  replica.signal("SIGSTOP");
  const held = await scene.heldBy(runId, replica.pid);
  const { done, planned } = await scene.progress(runId);
  return { replica, moment, hit: held && `chunk ${held.number} in hand at ${done}/${planned}` };
});

interface Frozen {
  readonly replica: Replica;
  readonly moment: string;
  readonly hit: string | undefined;
}

/**
 * The worker stays frozen until another one has finished the run; then it goes on, finds that its locks are lost, and
 * ends, so that its supervisor starts it again.
 */
function frozen(
  name: string,
  settings: Scenario["settings"],
  freeze: (scene: Scene, runId: string) => Promise<Frozen>,
): Scenario {
  return {
    name,
    owns: name === "frozen-with-permits" ? ["mongodb"] : [],
    processes: 2,
    settings: { ...ONE_AT_A_TIME, ...settings },
    async inject(scene): Promise<Injection> {
      const runId = await scene.backfill();
      const { replica, moment, hit } = await freeze(scene, runId);
      const at = performance.now();
      await scene.startReplica();
      return {
        moment,
        hit,
        at,
        async thaw() {
          // It may be in the middle of anything, and what it wrote must not count.
          await new Promise((resolve) => setTimeout(resolve, below(scene.random, 500)));
          replica.signal("SIGCONT");
          if (hit === undefined) return;
          await until("end of the frozen worker", () => replica.exits.length > 0 && replica.exits, PATIENCE_MS);
        },
        faults: () =>
          hit === undefined || replica.exits[0] === 5
            ? []
            : [`the frozen worker ended with ${replica.exits.join(", ")}`],
      };
    },
  };
}
