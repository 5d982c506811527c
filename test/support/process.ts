import { inject } from "vitest";
import { startProgram, startWorkerOf, type Command, type Ended, type Env, type WorkerProcess } from "./program.ts";

export { endProcesses, startProgram, untilWorked, type Command, type Ended } from "./program.ts";

/** Starts `tallyman ...args` in a process of its own, with no other setting than the given ones. */
export function start(env: Env, args: readonly string[]): Command {
  return startProgram(process.execPath, [inject("program"), ...args], env);
}

/** Runs `tallyman ...args` to its end. */
export function run(env: Env, ...args: string[]): Promise<Ended> {
  return start(env, args).ended;
}

/** Starts a worker and waits until it works. */
export function startWorker(env: Env): Promise<WorkerProcess> {
  return startWorkerOf(inject("program"), env);
}
