import { commandExecutor, NEEDS } from "../../src/execution/supply.ts";
import type { Logger } from "../../src/log.ts";
import type { Services } from "../../src/services.ts";
import type { JobContext } from "../../src/task/context.ts";
import { defineTask } from "../../src/task/job.ts";

/** A job's context with everything in it, for tests that replace a part. */
export async function jobContext(services: Services, log: Logger = services.log): Promise<JobContext> {
  const taken = defineTask({
    name: "taken",
    needs: NEEDS,
    run: (_input: undefined, context: JobContext) => Promise.resolve({ context }),
  });
  const given = { log: log.child({}, { level: "silent" }), signal: new AbortController().signal };
  const { context } = await commandExecutor(services).execute(taken, undefined, given);
  return { ...context, log };
}
