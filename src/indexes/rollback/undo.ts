/** Plans the undo of one ledger entry, from the database's present state. */
import type { Engine } from "../engines/engine.ts";
import { objectionTo } from "../engines/objection.ts";
import type { Intent, LedgerEntry } from "../ledger/ledger.ts";
import { COLLECTION, markOf } from "../ledger/recorder.ts";
import type { EngineName } from "../manifest/manifest.ts";
import type { ActualIndex, Duty, Observation } from "../decision/observation.ts";
import { fingerprint } from "../decision/normal-form.ts";

/** The planned or performed undo of one ledger entry. */
export interface UndoneEntry {
  readonly engine: EngineName;
  readonly target: string;
  /** "" is the collection itself */
  readonly name: string;
  readonly runId: string;
  /** Planned: `drop`, `restore`; performed: `dropped`, `restored`. `gone`: the index does not exist any more. */
  readonly action: "drop" | "restore" | "dropped" | "restored" | "gone" | "kept";
  readonly detail?: string;
}

export interface PlannedUndo extends UndoneEntry {
  /** Performs the undo. @returns why it was not done */
  readonly act?: () => Promise<string | undefined>;
  /** intent of the ledger entry while the undo runs */
  readonly pending?: Intent;
}

/** @param declaredOnly keep indexes that the manifest does not declare */
export async function planUndo(engine: Engine, entry: LedgerEntry, declaredOnly: boolean): Promise<PlannedUndo> {
  const { target, name, runId, intent, previous } = entry;
  const base = { engine: engine.name, target, name, runId };
  if (name === COLLECTION) {
    return { ...base, action: "drop", detail: "if it is empty", act: () => engine.dropTarget(target) };
  }
  if (declaredOnly && engine.targets.get(target)?.some((index) => index.name === name) !== true) {
    return { ...base, action: "kept", detail: "the selected part of the manifest does not declare it" };
  }
  const view = await engine.observe(target);
  if (view.unusable !== undefined || view.isMissing) return { ...base, action: "gone", detail: view.unusable ?? "" };
  const made = findMade(view, entry);
  const isReplacement = (intent === "replace" || intent === "restore") && previous !== undefined;

  if (isReplacement && entry.state === "started" && made.is !== "there") {
    // The replacement was interrupted before the rename, or its rollback after the old index was back.
    const act = async () => {
      if (intent === "restore") await engine.replacement.finish(target, name);
      else await engine.replacement.abandon(target, name);
      return undefined;
    };
    return { ...base, action: "restore", detail: "the leftover of an interrupted replacement is dropped", act };
  }
  if (made.is === "gone") {
    const isBegun = entry.state === "started" && engine.sweep !== undefined;
    const act = async () => {
      await engine.sweep?.(target, name);
      return undefined;
    };
    return { ...base, action: "gone", ...(isBegun ? { act } : {}) };
  }
  if (made.is === "kept") return { ...base, action: "kept", detail: made.why };
  const change = { target, name: made.index.name, found: made.index };
  const does = isReplacement ? "restore" : "drop";
  const objection = await objectionTo(engine, { ...change, does, previous });
  if (objection !== undefined) return { ...base, action: "kept", detail: objection };
  if (isReplacement) {
    const act = () => engine.replacement.restore(entry, made.index);
    const detail = engine.replacement.describe?.(previous) ?? previous;
    return { ...base, action: "restore", detail, act, pending: "restore" };
  }
  const act = async () => {
    await engine.drop(target, made.index.name);
    return undefined;
  };
  return { ...base, action: "drop", act, pending: "drop" };
}

/** The index that a change made, as the database has it now. */
export type Made =
  | { readonly is: "there"; readonly index: ActualIndex }
  | { readonly is: "gone" }
  /** An index of that name exists, and must not be touched. */
  | { readonly is: "kept"; readonly why: string };

/** Finds the index that the entry records. Pure. */
export function findMade(view: Observation, entry: LedgerEntry): Made {
  const { name, oid, project } = entry;
  const named = view.actual.filter((index) => index.name === name || view.rules.isVersion?.(index.name, name) === true);
  const index = named.find((one) => fingerprint(one.ownForm ?? one.form) === entry.fingerprint);
  if (!index) return named.length === 0 ? { is: "gone" } : kept("it now has another definition");
  if (index.building) return kept("it is being built at this moment");
  if (index.guards !== undefined && NEEDED.has(index.guards)) return kept(`a ${index.guards} needs it`);
  // After a REINDEX the index has another oid and the same mark.
  if (oid !== undefined && index.oid !== oid && index.mark !== markOf(project, entry.fingerprint)) {
    return kept("somebody else dropped it and made it again");
  }
  return { is: "there", index };
}

function kept(why: string): Made {
  return { is: "kept", why };
}

const NEEDED: ReadonlySet<Duty> = new Set(["constraint", "foreign key", "replica identity"]);
