/** The exact statements that `ensure` would run. Changes nothing. */
import type { Engine } from "../engines/engine.ts";
import type { OpenOptions } from "../engines/open.ts";
import { lookAtTargets, type IndexFinding } from "./check.ts";

export interface PlannedStep {
  readonly engine: string;
  readonly target: string;
  readonly name: string;
  readonly status: string;
  readonly detail?: string;
  /** in the order in which ensure runs them; empty where it would do nothing */
  readonly statements: readonly string[];
  /** the statement of the new definition, which ensure runs only with --replace */
  readonly replacement?: string;
}

export interface PlanReport {
  readonly steps: readonly PlannedStep[];
  /** how many indexes are declared */
  readonly declared: number;
}

/** @throws UsageError (manifest, server), UnreachableError */
export async function planIndexes(options: OpenOptions): Promise<PlanReport> {
  const declared = await lookAtTargets(options, (engine, { target, indexes }) =>
    indexes.filter(({ isDeclared }) => isDeclared).map((index) => ({ engine, target, index })),
  );
  const steps = declared.flat().filter(({ index: { status } }) => status !== "ok" && status !== "renamed");
  return {
    steps: steps.map(({ engine, target, index }) => plannedStep(engine, target, index)),
    declared: declared.flat().length,
  };
}

function plannedStep(engine: Engine, target: string, index: IndexFinding): PlannedStep {
  const { name, status, detail, statement } = index;
  const isLeftover = status === "invalid-create" || status === "invalid-drop";
  const removal = isLeftover ? engine.removal(target, name) : undefined;
  const isKept = status === "different" || status === "invalid-drop";
  return {
    ...{ engine: engine.name, target, name, status },
    ...(detail === undefined ? {} : { detail }),
    statements: [
      ...(removal === undefined ? [] : [removal]),
      ...(statement === undefined || isKept ? [] : [statement]),
    ],
    ...(status === "different" && statement !== undefined ? { replacement: statement } : {}),
  };
}
