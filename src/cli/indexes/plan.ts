import type { Command } from "commander";
import { EXIT } from "../../errors.ts";
import type { CheckReport, IndexFinding, TargetFinding } from "../../indexes/check/check.ts";
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
      const { checkIndexes } = await import("../../indexes/check/check.ts");
      const { dropStatement } = await import("../../indexes/engines/postgres/ddl.ts");
      const report = await withIndexes(context, flags, (targets) =>
        checkIndexes({ ...targets, signal: context.signal }),
      );
      const steps = report.targets.flatMap((found) =>
        found.indexes
          .filter(({ isDeclared, status }) => isDeclared && status !== "ok" && status !== "renamed")
          .map((index) => plannedStep(found, index, dropStatement)),
      );
      context.answer({ steps }, planText(report, steps));
      return EXIT.done;
    }),
  );
}

interface PlannedStep {
  readonly engine: string;
  readonly target: string;
  readonly name: string;
  readonly status: string;
  readonly detail?: string;
  /** in the order in which ensure runs them; none where it would do nothing */
  readonly statements: readonly string[];
  /** the definition that takes the place of the one there, with --replace only */
  readonly replacement?: string;
}

function plannedStep(
  { engine, target }: TargetFinding,
  index: IndexFinding,
  dropStatement: (target: string, name: string) => string,
): PlannedStep {
  const { name, status, detail, statement } = index;
  const isLeftover = engine === "postgres" && (status === "invalid-create" || status === "invalid-drop");
  const isKept = status === "different" || status === "invalid-drop";
  return {
    ...{ engine, target, name, status },
    ...(detail === undefined ? {} : { detail }),
    statements: [
      ...(isLeftover ? [dropStatement(target, name)] : []),
      ...(statement === undefined || isKept ? [] : [statement]),
    ],
    ...(status === "different" && statement !== undefined ? { replacement: statement } : {}),
  };
}

function planText({ targets }: CheckReport, steps: readonly PlannedStep[]): string {
  if (steps.length === 0) {
    const count = targets.reduce((sum, { indexes }) => sum + indexes.filter(({ isDeclared }) => isDeclared).length, 0);
    return `-- Nothing to do: ${count} indexes are as declared.`;
  }
  return steps
    .map(({ target, name, status, detail, statements, replacement }) =>
      [
        comment(`${target} ${name}: ${status}${detail === undefined ? "" : ` (${detail})`}`),
        ...statements.map((statement) => `${statement};`),
        ...(replacement === undefined
          ? []
          : [comment(`with --replace, beside it and then in its place: ${replacement}`)]),
      ].join("\n"),
    )
    .join("\n\n");
}

/** A name may hold a line break, and what comes after that would be run. */
function comment(text: string): string {
  return text.replace(/^/gm, "-- ");
}
