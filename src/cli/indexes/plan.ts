import type { Command } from "commander";
import { EXIT } from "../../errors.ts";
import { planIndexes, type PlanReport } from "../../indexes/index.ts";
import { printable } from "../../printable.ts";
import { action, createCommand } from "../command.ts";
import { blocks, type Lines } from "../lines.ts";
import { withIndexes, withIndexFlags, type IndexFlags } from "./options.ts";

/** `indexes plan`: the exact statements that ensure would run. */
export function planCommand(): Command {
  const command = createCommand(
    "plan",
    "Print the statements that ensure would run; changes nothing.",
    "tallyman indexes plan --manifest justoai",
  );
  return withIndexFlags(command).action(
    action<IndexFlags>(async (flags, context) => {
      const report = await withIndexes(context, flags, (targets) =>
        planIndexes({ ...targets, signal: context.signal }),
      );
      context.answer({ steps: report.steps }, planText(report));
      return EXIT.done;
    }),
  );
}

/** The statements for a person, each under a comment that says why. */
export function planText({ steps, declared }: PlanReport): Lines {
  if (steps.length === 0) return [`-- Nothing to do: ${declared} indexes are as declared.`];
  const parts = steps.map(({ target, name, status, detail, statements, replacement }) => [
    `-- ${target} ${name}: ${status}${detail === undefined ? "" : ` (${detail})`}`,
    ...(statements.some(hasEscapes)
      ? ["-- The escapes below stand for characters that --json gives as they are."]
      : []),
    ...statements.flatMap((statement) => `${statement};`.split("\n")),
    ...(replacement === undefined
      ? []
      : `with --replace, built beside it and then renamed: ${replacement}`.split("\n").map((line) => `-- ${line}`)),
  ]);
  return blocks(...parts);
}

function hasEscapes(statement: string): boolean {
  return statement.split("\n").some((line) => printable(line) !== line);
}
