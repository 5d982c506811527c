import type { Queues } from "../queues/queues.ts";
import type { Services } from "../services.ts";

/** Hands what PostgreSQL says is due to the queues. Redis lost by now is a warning: a worker finds what is stored. */
export async function enqueueDue(services: Services, queues: Queues): Promise<void> {
  const { countWorkers } = await import("../db/postgres/session.ts");
  const { pausedQueues } = await import("../db/postgres/meta.ts");
  try {
    await queues.dispatch(await services.due());
  } catch (error) {
    services.log.warn({ err: error }, "Redis was lost after the run was stored; a worker will find it");
  }
  const pool = await services.pool();
  if ((await countWorkers(pool)) === 0) {
    process.stderr.write("No worker runs, so nothing is begun yet. Start one with: tallyman worker\n");
  }
  if ((await pausedQueues(pool)).has("bulk")) {
    process.stderr.write("The queue bulk is paused; nothing of it is begun until: tallyman queues resume bulk\n");
  }
}
