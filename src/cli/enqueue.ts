import type { Queues } from "../queues/queues.ts";
import type { Services } from "../services.ts";
import { tell } from "./terminal.ts";

/** Brings the queues up to what PostgreSQL says is due. A Redis that is lost by now is a warning: workers find the stored run. */
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
    tell("No worker is running, so nothing starts yet. Start one with: tallyman worker");
  }
  if ((await pausedQueues(pool)).has("bulk")) {
    tell("The queue bulk is paused, so nothing starts. Resume it with: tallyman queues resume bulk");
  }
}
