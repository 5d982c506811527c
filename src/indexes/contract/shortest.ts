/** The shortest time that something takes in a few runs. */
import { performance } from "node:perf_hooks";

/** More than one run, since the first may meet a cold cache and other processes take CPU time. */
const RUNS = 10;
const BUDGET_MS = 2_000;

export interface Timed<T> {
  /** of the shortest run */
  readonly ms: number;
  readonly answer: T;
}

/**
 * Repeats `run` until one run takes at most `promisedMs`, up to RUNS times and about BUDGET_MS.
 *
 * @param run returns undefined when it hit a limit, which ends the runs
 * @returns undefined if the first run hit its limit
 */
export async function shortest<T>(
  promisedMs: number,
  run: () => Promise<T | undefined>,
  now: () => number = () => performance.now(),
): Promise<Timed<T> | undefined> {
  const begun = now();
  let best: Timed<T> | undefined;
  for (let runs = 0; runs < RUNS && (runs === 0 || now() - begun < BUDGET_MS); runs += 1) {
    const started = now();
    const answer = await run();
    if (answer === undefined) break;
    best = { answer, ms: Math.min(best?.ms ?? Infinity, now() - started) };
    if (best.ms <= promisedMs) break;
  }
  return best;
}
