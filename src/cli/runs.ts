import { InvalidArgumentError, type Command } from "commander";
import { z } from "zod";
import { action, createCommand, createGroup, parseCount } from "./command.ts";
import { runsTable, runText } from "./show-run.ts";
import { table } from "./table.ts";
import { findRun } from "./watch.ts";

/** `runs list | show`: what was asked for and what came of it. */
export function runsCommand(): Command {
  const list = createCommand("list", "List the newest runs.", "tallyman runs list --limit 50")
    .option("--limit <count>", "how many", parseCount, 20)
    .action(
      action<{ limit: number }>(async ({ limit }, { services, answer }) => {
        const runs = await (await services.runs()).list(limit);
        answer({ runs }, runsTable(runs));
        return undefined;
      }),
    );
  const show = createCommand(
    "show",
    "Show one run, and what failed in it.",
    "tallyman runs show 5f0c4e1a-7c1e-4def-8123-456789abcdef",
  )
    .argument("<id>", "the run's id", parseId)
    .action(async (id: string, options: { json?: true }) => {
      await action(async (_options, { services, answer }) => {
        const runs = await services.runs();
        const run = await findRun(runs, id);
        const problems = await runs.problems(id);
        const days = problems.flatMap(({ failedDays }) => failedDays);
        const chunks = problems.filter(({ error }) => error !== null);
        const parts = [runText(run)];
        if (chunks.length > 0)
          parts.push(
            table(
              ["chunk", "state", "error"],
              chunks.map(({ number, state, error }) => [String(number), state, error]),
            ),
          );
        if (days.length > 0)
          parts.push(
            table(
              ["tenant", "day", "error"],
              days.map(({ tenant, date, error }) => [tenant, date, error]),
            ),
          );
        answer({ run, problems }, parts.join("\n\n"));
        return undefined;
      })(options);
    });
  return createGroup("runs", "List runs, or show one.", "tallyman runs list", [list, show]);
}

function parseId(text: string): string {
  if (!z.uuid().safeParse(text).success)
    throw new InvalidArgumentError("It must be a run's id, as tallyman runs list prints it.");
  return text;
}
