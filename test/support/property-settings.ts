/** What property tests are run with: PROPERTY_RUNS multiplies their runs, PROPERTY_SEED repeats an earlier run. */
import { randomInt } from "node:crypto";
import type { TestProject } from "vitest/node";

/**
 * The environment that vitest.config.ts hands to every worker, so that all files of a run have one seed: a whole number
 * of 32 bits, as fast-check prints it, and a factor above 0.
 */
export type PropertySettings = Readonly<Record<"PROPERTY_SEED" | "PROPERTY_RUNS", string>>;

/** @throws Error that names the setting that is wrong */
export function propertySettings(env: Readonly<Record<string, string | undefined>> = process.env): PropertySettings {
  const seed = env["PROPERTY_SEED"] || String(randomInt(2 ** 31));
  if (String(Number(seed) | 0) !== seed) {
    throw new Error(`PROPERTY_SEED is ${seed}; it must be a whole number from -2147483648 to 2147483647.`);
  }
  const runs = env["PROPERTY_RUNS"] || "1";
  if (!/^\d+(\.\d+)?$/.test(runs) || Number(runs) === 0) {
    throw new Error(`PROPERTY_RUNS is ${runs}; it must be a number above 0, such as 50.`);
  }
  return { PROPERTY_SEED: seed, PROPERTY_RUNS: runs };
}

/** What a run prints, so that it can be repeated. */
export function settingsLine({ PROPERTY_SEED, PROPERTY_RUNS }: PropertySettings): string {
  return `property tests: seed ${PROPERTY_SEED}, runs x${PROPERTY_RUNS} (PROPERTY_SEED, PROPERTY_RUNS)`;
}

/** Once a run; on standard error, because a reporter may own standard output. */
export default function setup({ config }: TestProject): void {
  process.stderr.write(`${settingsLine(propertySettings(config.env))}\n`);
}
