import { PROCESS_CLASS } from "../../../src/db/postgres/session.ts";
import type { Scene } from "../scene.ts";
import type { Scenario } from "../scenario.ts";

/**
 * PostgreSQL's process of the connection that holds a worker's locks is frozen, while all others work: the worker notices,
 * hands its chunk back and ends, and its supervisor starts it again. The one permit, which nobody can take from the frozen
 * connection, has a stand-in.
 */
export const frozenBackend: Scenario = {
  name: "frozen-backend",
  owns: ["postgres"],
  processes: 1,
  settings: { WORKER_CONCURRENCY: "1", MONGODB_CONCURRENCY: "1" },
  async inject(scene) {
    const runId = await scene.backfill();
    const replica = await scene.startReplica();
    const moment = await scene.someMoment(runId);
    const held = await scene.heldBy(runId, replica.pid);
    if (scene.servers.postgres.pid === undefined) throw new Error("PostgreSQL is no process of this machine");
    const backend = await backendOfLocks(scene);
    process.kill(backend, "SIGSTOP");
    const at = performance.now();
    const { done, planned } = await scene.progress(runId);
    return {
      moment,
      hit: held && done < planned ? `chunk ${held.number} in hand at ${done}/${planned}` : undefined,
      at,
      thaw: () => Promise.resolve(void process.kill(backend, "SIGCONT")),
      faults: () => (replica.exits[0] === 5 ? [] : [`the worker ended with ${replica.exits.join(", ") || "nothing"}`]),
    };
  },
};

async function backendOfLocks(scene: Scene): Promise<number> {
  const [row] = await scene.ask<{ pid: number }>(
    `SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = $1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    [PROCESS_CLASS],
  );
  if (!row) throw new Error("no worker holds its lock");
  return row.pid;
}
