import { fileURLToPath } from "node:url";
import {
  startProgram,
  startWorkerOf,
  type Command,
  type Ended,
  type Env,
  type WorkerProcess,
} from "../support/program.ts";

/**
 * The compiled program, as an image runs it: it starts in half the time of the sources, which counts for a dozen
 * processes.
 */
const PROGRAM = fileURLToPath(new URL("../../dist/src/cli.js", import.meta.url));

/** Deadline for every wait: a dozen processes share the machine, perhaps with others. */
export const PATIENCE_MS = 180_000;

export type { Env };

/** Starts `tallyman ...args` from the last build. */
export function startBuilt(env: Env, ...args: string[]): Command {
  return startProgram(process.execPath, [PROGRAM, ...args], env);
}

/** Runs `tallyman ...args` to its end. */
export function runBuilt(env: Env, ...args: string[]): Promise<Ended> {
  return startBuilt(env, ...args).ended;
}

/** Starts a worker and waits until it works. */
export function startBuiltWorker(env: Env, launcher?: readonly string[]): Promise<WorkerProcess> {
  return startWorkerOf(PROGRAM, env, PATIENCE_MS, launcher);
}
