import type { Command } from "commander";
import { EXIT, OperatorError } from "../errors.ts";
import { takeOver } from "../log.ts";
import { action, createCommand } from "./command.ts";
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
      deadline.stopWith(signal.aborted ? EXIT.done : exitCodeOf(worker.lost.reason), () =>
        log.error("worker did not stop in time; another one repeats its unfinished work"),
      );
      await worker.stop();
      log.info("worker stopped");
      if (signal.aborted) return EXIT.done;
      const reason = worker.lost.reason as Error;
      if (reason instanceof OperatorError) throw reason;
      complain(`${reason.message}; the worker ends, so that its supervisor starts it again.`);
      return EXIT.unreachable;
    }),
  );
}

function exitCodeOf(reason: unknown): number {
  return reason instanceof OperatorError ? reason.exitCode : EXIT.unreachable;
}
