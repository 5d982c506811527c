/** Compares the indexes of the databases with the manifest. Changes nothing. */
import type { DeclaredIndex, Engine } from "../engines/engine.ts";
import { currentEntries, isOpenDrop, keyOf, type LedgerEntry } from "../ledger/ledger.ts";
import { DEFAULTS, type Manifest, type EngineName } from "../manifest/manifest.ts";
import { withEngines, type OpenOptions } from "../engines/open.ts";
import { COLLECTION } from "../ledger/recorder.ts";
import { findRedundant } from "../decision/redundant.ts";
import { isOlderWindow, type Window } from "../manifest/rolling.ts";
import type { Observation, ActualIndex, Parts } from "../decision/observation.ts";
import { isChangeInPlace, stateOf, type IndexState } from "../decision/state.ts";

/**
 * `renamed`: an equal index has another name. `attrs`: only TTL or hidden differ. `invalid-create`: left by a failed
 * build, ensure builds it again. `invalid-drop`: left by an interrupted drop, ensure finishes it. `invalid-foreign`:
 * invalid, and not declared. `table-missing`: no such table or collection. `unusable`: the server refuses the
 * definition, or the target is no table.
 */
export type IndexStatus =
  | "ok"
  | "renamed"
  | "missing"
  | "different"
  | "attrs"
  | "building"
  | "invalid-create"
  | "invalid-drop"
  | "invalid-foreign"
  | "table-missing"
  | "unusable"
  | "extra";

export interface IndexFinding {
  readonly name: string;
  readonly status: IndexStatus;
  readonly isDeclared: boolean;
  readonly isRequired: boolean;
  /** made by the keeper's newest run */
  readonly isNew: boolean;
  readonly detail?: string;
  /** the statement that builds it, where the index is missing, invalid or different */
  readonly statement?: string;
}

/** A finding that is no drift from the manifest. */
export interface Advice {
  readonly kind: "duplicate" | "redundant" | "extra" | "over-budget" | "invalid";
  readonly name?: string;
  readonly text: string;
}

export interface TargetFinding {
  readonly engine: EngineName;
  readonly target: string;
  readonly isMissing: boolean;
  /** all indexes of the target, including the primary key's */
  readonly count: number;
  readonly indexes: readonly IndexFinding[];
  readonly advice: readonly Advice[];
}

export interface CheckReport {
  readonly targets: readonly TargetFinding[];
  /** every declared index exists, is valid and has the declared definition */
  readonly ok: boolean;
}

/** The status of each state of a declared index; `statusOf` splits some of them further. */
const STATUSES: Readonly<Record<IndexState["state"], IndexStatus>> = {
  present: "ok",
  building: "building",
  missing: "missing",
  invalid: "invalid-create",
  different: "different",
  "without target": "table-missing",
  unusable: "unusable",
};
const FINE: ReadonlySet<IndexStatus> = new Set(["ok", "renamed", "extra", "invalid-foreign"]);
const WANTING: ReadonlySet<IndexStatus> = new Set(["missing", "table-missing", "invalid-create", "different"]);
const NOT_CREATED = "ensure makes a collection only where the manifest says createCollections: true";

/** @throws UsageError (manifest, server), UnreachableError */
export async function checkIndexes(options: OpenOptions): Promise<CheckReport> {
  const targets = await lookAtTargets(options, (_engine, found) => found);
  return { targets, ok: targets.every(({ indexes }) => indexes.every(({ status }) => FINE.has(status))) };
}

/**
 * Calls `tell` for each target in turn, while its engine is open.
 * @throws UsageError (manifest, server), UnreachableError
 */
export async function lookAtTargets<T>(
  options: OpenOptions,
  tell: (engine: Engine, found: TargetFinding, view: Observation) => T | Promise<T>,
): Promise<T[]> {
  return withEngines(options, "look", async ({ engines, windows }) => {
    const told: T[] = [];
    for (const engine of engines) {
      const ledger = await engine.ledger.read();
      for (const target of engine.targets.keys()) {
        const view = await engine.observe(target);
        told.push(await tell(engine, findingsOf(engine, target, view, ledger, options.manifest, windows), view));
      }
    }
    return told;
  });
}

/** The findings of one table or collection. Pure, except that the engine writes the statements. */
export function findingsOf(
  engine: Pick<Engine, "name" | "targets" | "definition" | "ignored">,
  target: string,
  view: Observation,
  ledger: readonly LedgerEntry[],
  manifest: Manifest,
  windows: ReadonlyMap<string, Window> = new Map(),
): TargetFinding {
  const declared = engine.targets.get(target) ?? [];
  const mayCreate = manifest.createCollections === true;
  const current = currentEntries(ledger);
  const lastRun = ledger
    .filter(({ intent, name, project }) => intent !== "adopt" && name !== COLLECTION && project === manifest.project)
    .at(-1)?.runId;
  const states = declared.map((index) => ({ index, state: stateOf(view, index.name) }));
  const own = states.map(({ index, state }): IndexFinding => {
    const { name } = index;
    const entry = current.get(keyOf({ target, name }));
    const status = statusOf(state, view, entry);
    const detail = detailOf(state, index, mayCreate);
    const isMade = entry?.intent === "create" || entry?.intent === "replace";
    const isGiven = WANTING.has(status) && isMakeable(state, index, mayCreate);
    return {
      name,
      isDeclared: true,
      isRequired: index.required === true,
      isNew: status === "ok" && isMade && entry.state === "done" && entry.runId === lastRun,
      status,
      ...(detail === undefined ? {} : { detail }),
      ...(isGiven ? { statement: engine.definition(target, name) } : {}),
    };
  });
  const known = new Set(
    states.flatMap(({ index, state }) =>
      state.state === "present" && state.as !== undefined ? [index.name, state.as] : [index.name],
    ),
  );
  const others = view.actual.filter(
    ({ name, guards }) =>
      !known.has(name) && !engine.ignored.has(name) && guards !== "primary key" && guards !== "constraint",
  );
  const isOld = (name: string) =>
    declared.some((index) => {
      const window = windows.get(index.name);
      return window !== undefined && isOlderWindow(name, window);
    });
  const foreign = others.map((index): IndexFinding => ({
    name: index.name,
    isDeclared: false,
    isRequired: false,
    isNew: false,
    ...foreignStatus(index),
    ...(isOld(index.name) ? { detail: "an older window: ensure drops it once the current window is proven" } : {}),
  }));
  const max = manifest.defaults?.limits?.maxIndexes ?? DEFAULTS.limits.maxIndexes;
  return {
    engine: engine.name,
    target,
    isMissing: view.isMissing === true,
    count: view.actual.length,
    indexes: [...own, ...foreign],
    advice: [...redundancies(view.actual, known), ...extras(foreign), ...overBudget(view.actual, max)],
  };
}

function statusOf(state: IndexState, { rules }: Observation, entry: LedgerEntry | undefined): IndexStatus {
  if (state.state === "present" && state.as !== undefined) return "renamed";
  if (state.state === "invalid" && isOpenDrop(entry)) return "invalid-drop";
  return isChangeInPlace(state, rules) ? "attrs" : STATUSES[state.state];
}

/** For a person. */
function detailOf(state: IndexState, { checked }: DeclaredIndex, mayCreate: boolean): string | undefined {
  switch (state.state) {
    case "present":
      return state.as === undefined ? undefined : `as ${state.as}`;
    case "building":
      return undefined;
    case "missing":
      if (checked) return "the manifest only checks it, so its owner has to build it";
      return state.parts ? partsText(state.parts) : undefined;
    case "invalid":
      return state.parts ? partsText(state.parts) : "every write pays for it and no read uses it";
    case "without target":
      return state.detail ?? (mayCreate ? undefined : NOT_CREATED);
    case "different":
    case "unusable":
      return state.detail;
  }
}

function partsText({ done, of }: Parts): string {
  return `${done} of ${of} partitions have it; ensure goes on with the rest`;
}

/** May the keeper run its statement? Not for an index it only checks, nor where it may not create the collection. */
function isMakeable(state: IndexState, { checked, constraint }: DeclaredIndex, mayCreate: boolean): boolean {
  if (checked || constraint !== undefined) return false;
  return state.state !== "without target" || state.detail !== undefined || mayCreate;
}

function foreignStatus({ valid, building, isRebuild }: ActualIndex): Pick<IndexFinding, "status" | "detail"> {
  if (building) return { status: "building" };
  if (valid) return { status: "extra" };
  const detail = isRebuild
    ? "left by a REINDEX that failed, and every write pays for it: tallyman indexes maintain drops it if the keeper started that REINDEX; else drop it by hand"
    : "left by a failed build or drop, and every write pays for it: drop it by hand";
  return { status: "invalid-foreign", detail };
}

function redundancies(actual: readonly ActualIndex[], declared: ReadonlySet<string>): Advice[] {
  return findRedundant(actual, declared).map(({ name, by, kind }) => ({
    kind,
    name,
    text: kind === "duplicate" ? `${name} has the keys of ${by}` : `${name} has only the first keys of ${by}`,
  }));
}

function extras(foreign: readonly IndexFinding[]): Advice[] {
  return foreign.flatMap(({ name, status, detail }): Advice[] => {
    if (status === "invalid-foreign") return [{ kind: "invalid", name, text: detail ?? `${name} is invalid` }];
    return status === "extra" ? [{ kind: "extra", name, text: detail ?? `${name} is not declared` }] : [];
  });
}

function overBudget(actual: readonly ActualIndex[], max: number): Advice[] {
  const count = actual.filter(({ guards }) => guards !== "primary key").length;
  if (count <= max) return [];
  return [{ kind: "over-budget", text: `${count} indexes, more than the limit of ${max}: each slows every write` }];
}
