/** What the databases have against what is declared. Looks only. */
import type { DeclaredIndex, Engine, Observation } from "../engines/engine.ts";
import { keyOf, currentEntries, type LedgerEntry } from "../ledger/ledger.ts";
import { DEFAULTS, type Manifest, type EngineName } from "../manifest/manifest.ts";
import { withEngines, type OpenOptions } from "../engines/open.ts";
import { decide, type ActualIndex, type Decision } from "../decision/decide.ts";
import { COLLECTION } from "../ledger/recorder.ts";
import { findRedundant } from "../decision/redundant.ts";
import { isOlderWindow, type Window } from "../manifest/rolling.ts";

/**
 * `renamed`: there under another name. `attrs`: only TTL or hidden differ. `invalid-create`, `invalid-drop`: what a build
 * or a drop left; ensure repairs the one and finishes the other. `invalid-foreign`: somebody else's leftover. `table-missing`: no
 * such table or collection. `unusable`: the server refuses the definition, or the target is no table.
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
  /** made by the newest run of the keeper */
  readonly isNew: boolean;
  readonly detail?: string;
  /** the statement that makes it, of one that is wanting */
  readonly statement?: string;
}

/** Something to think about, which is no drift. */
export interface Advice {
  readonly kind: "duplicate" | "redundant" | "extra" | "over-budget" | "invalid";
  readonly name?: string;
  readonly text: string;
}

export interface TargetFinding {
  readonly engine: EngineName;
  readonly target: string;
  readonly isMissing: boolean;
  /** all indexes that are there, the primary key's included */
  readonly count: number;
  readonly indexes: readonly IndexFinding[];
  readonly advice: readonly Advice[];
}

export interface CheckReport {
  readonly targets: readonly TargetFinding[];
  /** every declared index is there, valid and as declared */
  readonly ok: boolean;
}

const FINE: ReadonlySet<IndexStatus> = new Set(["ok", "renamed", "extra", "invalid-foreign"]);
const ATTRIBUTES = /^(hidden|expireAfterSeconds): [^;]*(; (hidden|expireAfterSeconds): [^;]*)*$/;
const WANTING: ReadonlySet<IndexStatus> = new Set(["missing", "table-missing", "invalid-create", "different"]);
const NOT_CREATED = "ensure makes a collection only where the manifest says createCollections: true";
/** What REINDEX CONCURRENTLY leaves when it fails, under these endings. */
const REINDEX_LEFTOVER = /_cc(new|old)\d*$/;

/** @throws UsageError (manifest, server), UnreachableError */
export async function checkIndexes(options: OpenOptions): Promise<CheckReport> {
  return withEngines(options, "look", async ({ engines, windows }) => {
    const targets: TargetFinding[] = [];
    for (const engine of engines) {
      const ledger = await engine.ledger.read();
      for (const target of engine.targets.keys()) {
        targets.push(findingsOf(engine, target, await engine.observe(target), ledger, options.manifest, windows));
      }
    }
    return {
      targets,
      ok: targets.every(({ indexes }) => indexes.every(({ status }) => FINE.has(status))),
    };
  });
}

/** Judges one table or collection. Pure but for the statements, which the engine writes. */
export function findingsOf(
  engine: Pick<Engine, "name" | "targets" | "definition">,
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
  const own = declared.map((index): IndexFinding => {
    const entry = current.get(keyOf({ target, name: index.name }));
    const judged = judge(view, index, entry, mayCreate);
    const isMade = entry?.intent === "create" || entry?.intent === "replace";
    return {
      name: index.name,
      isDeclared: true,
      isRequired: index.required === true,
      isNew: judged.status === "ok" && isMade && entry.state === "done" && entry.runId === lastRun,
      ...judged,
      ...(WANTING.has(judged.status) &&
      judged.detail !== NOT_CREATED &&
      !index.checked &&
      index.constraint === undefined
        ? { statement: engine.definition(target, index.name) }
        : {}),
    };
  });
  const ignored = new Set(manifest.ignore?.[engine.name === "mongodb" ? "mongo" : "postgres"] ?? []);
  const known = new Set([
    ...own.map(({ name }) => name),
    ...own.flatMap(({ detail, status }) => (status === "renamed" && detail ? [detail.slice("as ".length)] : [])),
  ]);
  const others = view.actual.filter(
    ({ name, guards }) => !known.has(name) && !ignored.has(name) && guards !== "primary key" && guards !== "constraint",
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
    ...judgeForeign(index),
    ...(isOld(index.name) ? { detail: "an older window: ensure drops it once the one in force is proven" } : {}),
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

function judge(
  view: Observation,
  index: DeclaredIndex,
  entry: LedgerEntry | undefined,
  mayCreate: boolean,
): Pick<IndexFinding, "status" | "detail"> {
  if (view.isMissing === true) {
    const detail = view.unusable ?? (mayCreate ? undefined : NOT_CREATED);
    return { status: "table-missing", ...(detail === undefined ? {} : { detail }) };
  }
  if (view.unusable !== undefined) return { status: "unusable", detail: view.unusable };
  const wanted = view.declared.get(index.name);
  if (!wanted || wanted instanceof Error) return { status: "unusable", detail: wanted?.message ?? "not declared" };
  const decision: Decision = decide(wanted, view.actual, view.rules);
  switch (decision.state) {
    case "create":
    case "absent":
      return { status: "missing", ...(index.checked ? { detail: "it belongs to somebody else" } : {}) };
    case "present":
      return decision.otherName === undefined
        ? { status: "ok" }
        : { status: "renamed", detail: `as ${decision.otherName}` };
    case "building":
      return { status: "building" };
    case "invalid": {
      const isDrop = entry?.intent === "drop" && entry.state === "started";
      return { status: isDrop ? "invalid-drop" : "invalid-create", detail: "it costs every write and serves no read" };
    }
    case "different":
      return {
        status: ATTRIBUTES.test(decision.detail.replace(/^as [^:]*: /, "")) ? "attrs" : "different",
        detail: decision.detail,
      };
  }
}

function judgeForeign({ name, valid, building }: ActualIndex): Pick<IndexFinding, "status" | "detail"> {
  if (building) return { status: "building" };
  if (valid) return { status: "extra" };
  const detail = REINDEX_LEFTOVER.test(name)
    ? "a REINDEX that failed left it, and it costs every write: if it was the keeper's, tallyman indexes maintain drops it; else drop it by hand"
    : "a build or a drop left it, and it costs every write: drop it by hand";
  return { status: "invalid-foreign", detail };
}

function redundancies(actual: readonly ActualIndex[], declared: ReadonlySet<string>): Advice[] {
  return findRedundant(actual, declared).map(({ name, by, kind }) => ({
    kind,
    name,
    text: kind === "duplicate" ? `${name} has the keys of ${by}` : `${name} is the beginning of ${by}`,
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
  return [{ kind: "over-budget", text: `${count} indexes; over ${max} each write pays for more than readers gain` }];
}
