import { PermitGate } from "../../support/permit-gate.ts";
import type { Scenario } from "../scenario.ts";

/** The worker's own limit, with room for a busy machine. */
const DEADLINE_MS = 25_500;

/** A worker is stopped while it waits for a read; it hands its chunk back, and another worker finishes the run. */
export const stoppedWorker: Scenario = {
  name: "stopped-worker",
  owns: [],
  processes: 1,
  settings: { WORKER_CONCURRENCY: "1", MONGODB_CONCURRENCY: "1" },
  async inject(scene) {
    const gate = await PermitGate.create(scene.databaseUrl);
    try {
      const runId = await scene.backfill();
      const replica = await scene.startReplica();
      const moment = await scene.someMoment(runId);
      await gate.shut(); // as one very large read elsewhere would: the chunk does not end within the grace of a stop
      const held = await scene.heldBy(runId, replica.pid);
      const before = await scene.progress(runId);
      const at = performance.now();
      const { code, ms } = await replica.stop();
      const after = await scene.progress(runId);
      await gate.open();
      await scene.startReplica();
      const wasHandedBack = held && after.held.length === 0 && replica.log.includes("job handed back");
      const hit = wasHandedBack
        ? `chunk ${held.number} handed back at ${before.done}/${before.planned}, exit ${code} after ${(ms / 1_000).toFixed(1)} s`
        : undefined;
      const faults = async () => {
        const spent = await scene.spentAttempts(runId, "a stop");
        return [
          ...(code === 0 ? [] : [`the stopped worker ended with ${code}`]),
          ...(ms <= DEADLINE_MS ? [] : [`the worker took ${Math.round(ms)} ms to stop`]),
          ...(after.held.length === 0 ? [] : [`chunk ${after.held[0]?.number} was not handed back`]),
          ...spent,
        ];
      };
      // A worker that kept its chunk was hit as well, and is wrong.
      return { moment, hit: hit ?? (held && `chunk ${held.number} in hand, not handed back`), at, faults };
    } finally {
      await gate.close();
    }
  },
};
