import { setTimeout as sleep } from "node:timers/promises";
import { InvalidArgumentError, type Command } from "commander";
import type { CommandContext } from "../command.ts";

/** The flag of a verb that can repeat its look. */
export interface WatchFlags {
  readonly watch?: number | true;
}

const DEFAULT_SECONDS = 5;

/** Adds --watch. */
export function withWatch(command: Command): Command {
  return command.option(
    "--watch [seconds]",
    `repeat every so many seconds (default: ${DEFAULT_SECONDS}) until Ctrl-C; with --json, one document a line`,
    parseSeconds,
  );
}

/** Calls `look` once, or with --watch until the signal. @returns the exit code of the last look */
export async function watching(
  { watch }: WatchFlags,
  { signal }: CommandContext,
  look: () => Promise<number>,
): Promise<number> {
  for (;;) {
    const exitCode = await look();
    if (watch === undefined || signal.aborted) return exitCode;
    await sleep((watch === true ? DEFAULT_SECONDS : watch) * 1_000, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return exitCode;
  }
}

function parseSeconds(text: string): number {
  if (/^[1-9]\d{0,4}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a number of seconds from 1.");
}
