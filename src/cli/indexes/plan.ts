import type { Command } from "commander";
import { EXIT } from "../../errors.ts";
import { planIndexes, type PlanReport } from "../../indexes/index.ts";
import { action, createCommand } from "../command.ts";
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

function planText({ steps, declared }: PlanReport): string {
  if (steps.length === 0) return `-- Nothing to do: ${declared} indexes are as declared.`;
  return steps
    .map(({ target, name, status, detail, statements, replacement }) =>
      [
        comment(`${target} ${name}: ${status}${detail === undefined ? "" : ` (${detail})`}`),
        ...statements.map((statement) => `${statement};`),
        ...(replacement === undefined
          ? []
          : [comment(`with --replace, built beside it and then renamed: ${replacement}`)]),
      ].join("\n"),
    )
    .join("\n\n");
}

/** Comments out every line: a name may contain a line break, and the text after it would run as a statement. */
function comment(text: string): string {
  return text.replace(/^/gm, "-- ");
}
