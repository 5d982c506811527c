import { InvalidArgumentError, type Command } from "commander";
import type { QueueName } from "../db/postgres/session.ts";
import { UnreachableError } from "../errors.ts";
import { action, createCommand, createGroup, type CommandContext } from "./command.ts";
import { table } from "./table.ts";

/** `queues list | pause | resume`: what waits, and whether any of it is begun. PostgreSQL remembers a pause. */
export function queuesCommand(): Command {
  const list = createCommand("list", "Show the queues and what they hold.", "tallyman queues list").action(
    action((_options, context) => show(context)),
  );
  const pause = createCommand(
    "pause",
    "Begin nothing more of a queue, or of both; what is being worked on ends its chunk.",
    "tallyman queues pause bulk",
  );
  const resume = createCommand("resume", "Let a paused queue, or both, go on.", "tallyman queues resume bulk");
  for (const command of [pause, resume]) {
    command
      .argument("[queue]", "fresh (refresh and nightly) or bulk (all else); both unless given", parseQueue)
      .action((queue: QueueName | undefined, given: { json?: true }) =>
        action<typeof given>(async (_options, context) => {
          const { setPaused } = await import("../db/postgres/meta.ts");
          const pool = await context.services.agreedPool();
          await setPaused(pool, queue ? [queue] : ["fresh", "bulk"], command === pause);
          try {
            return await show(context);
          } catch (error) {
            if (!(error instanceof UnreachableError)) throw error;
            const done = command === pause ? "The pause is stored" : "It is stored that they go on";
            throw new UnreachableError(`${done}; workers tell Redis when it is back. ${error.message}`, {
              cause: error,
            });
          }
        })(given),
      );
  }
  const description = "Show the queues, pause them or let them go on.";
  return createGroup("queues", description, "tallyman queues list", [list, pause, resume]);
}

/** Prints the queues after Redis was told what PostgreSQL knows. */
async function show({ services, answer }: CommandContext): Promise<undefined> {
  const { pausedQueues } = await import("../db/postgres/meta.ts");
  const paused = await pausedQueues(await services.agreedPool());
  const queues = await services.queues();
  await queues.dispatch(await services.due());
  const counts = (await queues.counts()).map((count) => ({ ...count, paused: paused.has(count.queue) }));
  const rows = counts.map((q) => [q.queue, q.paused ? "paused" : "open", q.waiting, q.active, q.delayed]);
  answer({ queues: counts }, table(["queue", "is", "waiting", "active", "delayed"], rows));
}

function parseQueue(text: string): QueueName {
  if (text === "fresh" || text === "bulk") return text;
  throw new InvalidArgumentError("It must be fresh or bulk.");
}
