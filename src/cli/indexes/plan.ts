import type { Command } from "commander";
import { EXIT } from "../../errors.ts";
import type { CheckReport } from "../../indexes/check.ts";
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
      const { checkIndexes } = await import("../../indexes/check.ts");
      const report = await withIndexes(context, flags, (targets) =>
        checkIndexes({ ...targets, signal: context.signal }),
      );
      const steps = report.targets.flatMap(({ engine, target, indexes }) =>
        indexes
          .filter(({ isDeclared, status }) => isDeclared && status !== "ok" && status !== "renamed")
          .map(({ name, status, detail, statement }) => ({ engine, target, name, status, detail, statement })),
      );
      context.answer({ steps }, planText(report, steps));
      return EXIT.done;
    }),
  );
}

interface PlannedStep {
  readonly target: string;
  readonly name: string;
  readonly status: string;
  readonly detail?: string | undefined;
  readonly statement?: string | undefined;
}

function planText({ targets }: CheckReport, steps: readonly PlannedStep[]): string {
  if (steps.length === 0) {
    const count = targets.reduce((sum, { indexes }) => sum + indexes.filter(({ isDeclared }) => isDeclared).length, 0);
    return `-- Nothing to do: ${count} indexes are as declared.`;
  }
  return steps
    .map(({ target, name, status, detail, statement }) => {
      const head = `-- ${target} ${name}: ${status}${detail === undefined ? "" : ` (${detail})`}`;
      return statement === undefined ? head : `${head}\n${statement};`;
    })
    .join("\n\n");
}
