/** The exact statements that `ensure` would run. Looks only. */
import type { OpenOptions } from "../engines/open.ts";
import { dropStatement } from "../engines/postgres/ddl.ts";
import { checkIndexes, type IndexFinding, type TargetFinding } from "./check.ts";

export interface PlannedStep {
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

export interface PlanReport {
  readonly steps: readonly PlannedStep[];
  /** how many indexes are declared */
  readonly declared: number;
}

/** @throws UsageError (manifest, server), UnreachableError */
export async function planIndexes(options: OpenOptions): Promise<PlanReport> {
  const { targets } = await checkIndexes(options);
  const declared = targets.flatMap((found) =>
    found.indexes.filter(({ isDeclared }) => isDeclared).map((index) => ({ found, index })),
  );
  const steps = declared
    .filter(({ index: { status } }) => status !== "ok" && status !== "renamed")
    .map(({ found, index }) => plannedStep(found, index));
  return { steps, declared: declared.length };
}

function plannedStep({ engine, target }: TargetFinding, index: IndexFinding): PlannedStep {
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
