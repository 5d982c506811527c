import { setTimeout as sleep } from "node:timers/promises";
import type { Run } from "../db/postgres/runs/run.ts";
import type { Runs } from "../db/postgres/runs/runs.ts";
import { EXIT, UsageError } from "../errors.ts";
import { needsOperator } from "../usage/finding.ts";
import type { CommandContext } from "./command.ts";
import { Progress } from "./progress.ts";
import { detailsOf, endText } from "./show-run.ts";
import { tell } from "./terminal.ts";

const POLL_MS = 400;

/** Follows a run to its end and prints the outcome. @returns the command's exit code */
export async function followRun(
  runs: Runs,
  id: string,
  asked: Readonly<Record<string, unknown>>,
  { signal, json, answer }: CommandContext,
): Promise<number> {
  const run = await watchRun(runs, id, signal, (now) => {
    if (json) answer({ ...asked, run: now }, "");
  });
  if (!json) answer(undefined, endText(run, await detailsOf(runs, id)));
  if (signal.aborted) tell(`The run continues. See it with: tallyman runs show ${id}`);
  return exitCodeOf(run);
}

/** Follows a run to its end. @returns the run as it ended, or as it was when `signal` aborted */
export async function watchRun(
  runs: Runs,
  id: string,
  signal: AbortSignal,
  onChange: (run: Run) => void,
): Promise<Run> {
  const progress = new Progress();
  let seen = "";
  try {
    for (;;) {
      const run = await findRun(runs, id);
      progress.show(run);
      const now = JSON.stringify(run);
      if (now !== seen) onChange(run);
      seen = now;
      if ((run.state !== "planned" && run.state !== "running") || signal.aborted) return run;
      await sleep(POLL_MS);
    }
  } finally {
    progress.end();
  }
}

/** @throws UsageError for an id that no run has */
export async function findRun(runs: Runs, id: string): Promise<Run> {
  const run = await runs.get(id);
  if (!run) throw new UsageError(`There is no run ${id}. List them with: tallyman runs list`);
  return run;
}

/** The exit code that a run's end stands for: 2 for refused rows, and where events exist but the run could see none. */
export function exitCodeOf(run: Run): number {
  if (run.state === "planned" || run.state === "running") return EXIT.interrupted;
  if (run.state !== "done") return EXIT.failed;
  return run.days.refused > 0 || needsOperator(run.finding) ? EXIT.found : EXIT.done;
}
