import { fileURLToPath } from "node:url";
import {
  startProgram,
  startWorkerOf,
  type Command,
  type Ended,
  type Env,
  type WorkerProcess,
} from "../support/program.ts";

/** What an image runs: it starts in half the time of the sources, of which a dozen processes at once make much. */
const PROGRAM = fileURLToPath(new URL("../../dist/src/cli.js", import.meta.url));

/** For whatever is waited for on the way: a dozen processes share the machine, and others may be at work there. */
export const PATIENCE_MS = 180_000;

export type { Env };

/** Starts `tallyman ...args`, as it was built last. */
export function startBuilt(env: Env, ...args: string[]): Command {
  return startProgram(process.execPath, [PROGRAM, ...args], env);
}

/** Runs `tallyman ...args` to its end. */
export function runBuilt(env: Env, ...args: string[]): Promise<Ended> {
  return startBuilt(env, ...args).ended;
}

/** Starts a worker and waits until it works. */
export function startBuiltWorker(env: Env): Promise<WorkerProcess> {
  return startWorkerOf(PROGRAM, env, PATIENCE_MS);
}
