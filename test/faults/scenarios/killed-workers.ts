import { below } from "../../support/random.ts";
import type { Scene } from "../scene.ts";
import { ONE_AT_A_TIME, type Scenario } from "../scenario.ts";
import { WriteGate } from "../write-gate.ts";

/**
 * A worker is killed, then the worker that takes over; a third finishes the run after the leases of both have ended.
 */
export const killedWorkers: Scenario = {
  name: "killed-workers",
  owns: [],
  processes: 2,
  settings: ONE_AT_A_TIME,
  async inject(scene) {
    const runId = await scene.backfill();
    const first = await kill(scene, runId, 5, 25);
    const second = await kill(scene, runId, 30, 60);
    const at = performance.now();
    await scene.startReplica();
    const hit = first.hit && second.hit && `${first.hit}; ${second.hit}`;
    return { moment: `${first.moment}, ${second.moment}`, hit, at };
  },
};

/** Starts a worker and kills it in the middle: anywhere, or with a batch written and not committed. */
async function kill(scene: Scene, runId: string, least: number, most: number) {
  const replica = await scene.startReplica();
  let moment = await scene.someMoment(runId, least, most);
  let inside = "";
  const gate = below(scene.random, 2) === 0 ? await WriteGate.shut(scene.databaseUrl) : undefined;
  try {
    if (gate) {
      inside = `, ${await gate.writer()}`;
      moment += " in a write";
    }
    const { pid } = replica;
    await replica.kill();
    const held = await scene.heldBy(runId, pid); // the claim of a dead process: it was at work
    const { done, planned } = await scene.progress(runId);
    return { moment, hit: held && `chunk ${held.number} in hand at ${done}/${planned}${inside}` };
  } finally {
    await gate?.open();
  }
}
