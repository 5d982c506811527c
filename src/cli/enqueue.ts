import type { Runs } from "../db/postgres/runs/runs.ts";
import type { Queues } from "../queues/queues.ts";
import type { Services } from "../services.ts";

/** Hands what PostgreSQL says is due to the queues. Redis lost by now is a warning: a worker finds what is stored. */
export async function enqueueDue(services: Services, queues: Queues, runs: Runs): Promise<void> {
  const { countWorkers } = await import("../db/postgres/session.ts");
  try {
    await queues.dispatch(runs);
  } catch (error) {
    services.log.warn({ err: error }, "Redis was lost after the run was stored; a worker will find it");
  }
  if ((await countWorkers(await services.pool())) === 0) {
    process.stderr.write("No worker runs, so nothing is begun yet. Start one with: tallyman worker\n");
  }
  if ((await runs.pausedQueues()).has("bulk")) {
    process.stderr.write("The queue bulk is paused; nothing of it is begun until: tallyman queues resume bulk\n");
  }
}
