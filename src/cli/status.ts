import type { Command } from "commander";
import { EXIT, OperatorError } from "../errors.ts";
import { action, createCommand, parseCount } from "./command.ts";
import { runsTable } from "./show-run.ts";
import { blocks, type Lines } from "./lines.ts";
import { malformedTable } from "./malformed-text.ts";
import { shortTime, table } from "./table.ts";
import { complain } from "./terminal.ts";

/** Places of malformed events that are listed. */
const MALFORMED_LIMIT = 1_000;

/** `status`: the queues, the last runs, and how fresh each tenant is. */
export function statusCommand(): Command {
  return createCommand(
    "status",
    "Show the queues, the last runs and how fresh each tenant is.",
    "tallyman status --tenants 100",
  )
    .option("--tenants <count>", "how many tenants, the longest unread first", parseCount, 20)
    .action(
      action<{ tenants: number }>(async (options, { services, answer }) => {
        const { tenantFreshness } = await import("../db/postgres/tenants.ts");
        const { malformedNow } = await import("../db/postgres/cache/malformed.ts");
        const { countWorkers } = await import("../db/postgres/session.ts");
        const { pausedQueues } = await import("../db/postgres/meta.ts");
        const pool = await services.pool();
        const runs = await (await services.runs()).list(5);
        const tenants = await tenantFreshness(pool, options.tenants);
        const malformed = await malformedNow(pool, MALFORMED_LIMIT);
        let code: number = EXIT.done;
        const workers = await countWorkers(pool);
        const paused = await pausedQueues(pool);
        let queues: Awaited<ReturnType<Awaited<ReturnType<typeof services.queues>>["counts"]>> | null = null;
        let queueLines: Lines;
        try {
          queues = await (await services.queues()).counts();
          queueLines = table(
            ["queue", "is", "waiting", "active", "delayed"],
            queues.map((q) => [q.queue, paused.has(q.queue) ? "paused" : "open", q.waiting, q.active, q.delayed]),
          );
        } catch (error) {
          if (!(error instanceof OperatorError)) throw error;
          complain(error.lines);
          queueLines = ["The content of the queues is not known."];
          code = error.exitCode;
        }
        const tenantLines =
          tenants.length === 0
            ? ["No tenant is known yet."]
            : table(
                ["tenant", "events from", "to", "last row", "state", "read at"],
                tenants.map((t) => [t.tenant, t.firstDay, t.lastDay, t.lastRow, t.state, shortTime(t.readAt)]),
              );
        const malformedLines =
          malformed.length === 0 ? [] : ["Malformed events in the rows as they are now:", ...malformedTable(malformed)];
        const workerLine =
          workers === 0 ? "No worker is running; start one with: tallyman worker" : `Workers: ${workers}`;
        answer(
          { workers, queues, paused: [...paused], runs, tenants, malformed },
          blocks([workerLine], queueLines, runsTable(runs), tenantLines, malformedLines),
        );
        return code;
      }),
    );
}
