import type { Command } from "commander";
import { EXIT, OperatorError } from "../errors.ts";
import { takeOver } from "../log.ts";
import { action, createCommand } from "./command.ts";
import type { Lines } from "./lines.ts";
import { complain } from "./terminal.ts";

/** `worker`: works on the queues until it is stopped. */
export function workerCommand(): Command {
  return createCommand("worker", "Work on the queues and run the schedules until stopped.", "tallyman worker").action(
    action(async (_options, { services, signal, json, answer, log, deadline }) => {
      takeOver(log);
      signal.addEventListener("abort", () => deadline.stopWith(EXIT.done)); // also while it starts
      const { startWorker } = await import("../app.ts"); // its libraries are the slow part of a start
      const worker = await startWorker(services);
      if (json) answer({ address: worker.address, pid: process.pid }, "");
      const ended = AbortSignal.any([signal, worker.lost]);
      await new Promise<void>((resolve) => {
        if (ended.aborted) resolve();
        ended.addEventListener("abort", () => resolve(), { once: true });
      });
      const { code, why } = signal.aborted ? { code: EXIT.done, why: undefined } : endOf(worker.lost.reason as Error);
      deadline.stopWith(code, () => {
        log.error("worker did not stop in time; another one repeats its unfinished work");
        if (why !== undefined) complain(why);
      });
      await worker.stop();
      log.info("worker stopped");
      if (why !== undefined) complain(why);
      return code;
    }),
  );
}

/** How a worker ends by itself, and why, for the operator. */
function endOf(reason: Error): { code: number; why: Lines } {
  if (reason instanceof OperatorError) return { code: reason.exitCode, why: reason.lines };
  return {
    code: EXIT.unreachable,
    why: [`${reason.message}; the worker ends, so that its supervisor starts it again.`],
  };
}
