/** The exact statements that `ensure` would run. Changes nothing. */
import type { Observation } from "../decision/observation.ts";
import { stateOf } from "../decision/state.ts";
import type { Change, Engine } from "../engines/engine.ts";
import { objectionTo } from "../engines/objection.ts";
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
  const planned = await lookAtTargets(options, async (engine, { target, indexes }, view) => {
    const declared = indexes.filter(({ isDeclared }) => isDeclared);
    const steps: PlannedStep[] = [];
    for (const index of declared) {
      if (index.status === "ok" || index.status === "renamed") continue;
      steps.push(await plannedStep(engine, target, index, view));
    }
    return { steps, declared: declared.length };
  });
  return {
    steps: planned.flatMap(({ steps }) => steps),
    declared: planned.reduce((sum, { declared }) => sum + declared, 0),
  };
}

async function plannedStep(
  engine: Engine,
  target: string,
  { name, status, detail, statement }: IndexFinding,
  view: Observation,
): Promise<PlannedStep> {
  const state = stateOf(view, name);
  const isContinued = state.state === "invalid" && state.parts !== undefined && status === "invalid-create";
  const isLeftover = (status === "invalid-create" && !isContinued) || status === "invalid-drop";
  const removal = isLeftover ? engine.removal(target, name) : undefined;
  const isKept = status === "different" || status === "invalid-drop";
  const objection = statement === undefined ? undefined : await objectionTo(engine, changeFor(target, name, view));
  const why = [detail, objection].filter((part) => part !== undefined).join(". ");
  const base = { engine: engine.name, target, name, status, ...(why === "" ? {} : { detail: why }) };
  // Nothing that ensure would refuse.
  if (objection !== undefined) return { ...base, statements: [] };
  const isBuilt = statement !== undefined && !isKept;
  const build = isBuilt ? ((await engine.statements?.(target, name)) ?? [statement]) : [];
  return {
    ...base,
    statements: [...(removal === undefined ? [] : [removal]), ...build],
    ...(status === "different" && statement !== undefined ? { replacement: statement } : {}),
  };
}

function changeFor(target: string, name: string, view: Observation): Change {
  const state = stateOf(view, name);
  if (state.state !== "different") return { target, name, does: "create" };
  return { target, name, does: "replace", ...(state.found === undefined ? {} : { found: state.found }) };
}
