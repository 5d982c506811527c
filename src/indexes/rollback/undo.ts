/** What there is to do about one ledger entry, given what the database has now. */
import type { Engine, Observation } from "../engines/engine.ts";
import type { Intent, LedgerEntry } from "../ledger/ledger.ts";
import { fingerprint, type ActualIndex } from "../decision/decide.ts";
import { COLLECTION, markOf } from "../ledger/recorder.ts";
import type { EngineName } from "../manifest/manifest.ts";

/** What becomes, or became, of the change of one ledger entry. */
export interface UndoneEntry {
  readonly engine: EngineName;
  readonly target: string;
  /** "" is the collection itself */
  readonly name: string;
  readonly runId: string;
  /** `drop`, `restore`: what is to be done, and after it `dropped`, `restored`. `gone`: not there any more. */
  readonly action: "drop" | "restore" | "dropped" | "restored" | "gone" | "kept";
  readonly detail?: string;
}

export interface PlannedUndo extends UndoneEntry {
  /** Does it. @returns why it was not done */
  readonly act?: () => Promise<string | undefined>;
  /** what the ledger is to say while it is done */
  readonly pending?: Intent;
}

/** @param declaredOnly leaves alone what the manifest does not have */
export async function planUndo(engine: Engine, entry: LedgerEntry, declaredOnly: boolean): Promise<PlannedUndo> {
  const { target, name, runId, intent, previous } = entry;
  const base = { engine: engine.name, target, name, runId };
  if (name === COLLECTION) {
    return { ...base, action: "drop", detail: "if it is empty", act: () => engine.dropTarget(target) };
  }
  if (declaredOnly && engine.targets.get(target)?.some((index) => index.name === name) !== true) {
    return { ...base, action: "kept", detail: "the part of the manifest that was asked for does not have it" };
  }
  const view = await engine.observe(target);
  if (view.unusable !== undefined || view.isMissing) return { ...base, action: "gone", detail: view.unusable ?? "" };
  const made = findMade(view, entry);
  const isReplacement = (intent === "replace" || intent === "restore") && previous !== undefined;

  if (isReplacement && entry.state === "started" && (made === undefined || typeof made === "string")) {
    // It died before the new index took the place, or its rollback died after the old one was back.
    const act = async () => {
      if (intent === "restore") await engine.finishReplace(target, name);
      else await engine.abandonReplace(target, name);
      return undefined;
    };
    return { ...base, action: "restore", detail: "what an interrupted replacement left is dropped", act };
  }
  if (made === undefined) return { ...base, action: "gone" };
  if (typeof made === "string") return { ...base, action: "kept", detail: made };
  if (isReplacement) {
    const act = () => engine.restore(entry, made);
    return { ...base, action: "restore", detail: previous, act, pending: "restore" };
  }
  const act = async () => {
    await engine.drop(target, made.name);
    return undefined;
  };
  return { ...base, action: "drop", act, pending: "drop" };
}

/** The index that the change made; a text tells why what is there is not that one. */
export function findMade(view: Observation, entry: LedgerEntry): ActualIndex | string | undefined {
  const { name, oid, project } = entry;
  const named = view.actual.filter((index) => index.name === name || view.rules.isVersion?.(index.name, name) === true);
  const made = named.find((index) => fingerprint(index.ownForm ?? index.form) === entry.fingerprint);
  if (!made) return named.length === 0 ? undefined : "it has another definition by now";
  if (made.building) return "it is being built at this moment";
  if (made.guards !== undefined && NEEDED.has(made.guards)) return `a ${made.guards} needs it`;
  // Rebuilt by REINDEX it has another identity and the same mark.
  if (oid !== undefined && made.oid !== oid && made.mark !== markOf(project, entry.fingerprint)) {
    return "it was made anew by somebody else";
  }
  return made;
}

const NEEDED = new Set(["constraint", "foreign key", "replica identity"]);
