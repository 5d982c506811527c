/** What there is to do about one ledger entry, given what the database has now. */
import type { Engine } from "../engines/engine.ts";
import type { Intent, LedgerEntry } from "../ledger/ledger.ts";
import { COLLECTION, markOf } from "../ledger/recorder.ts";
import type { EngineName } from "../manifest/manifest.ts";
import type { ActualIndex, Duty, Observation } from "../decision/observation.ts";
import { fingerprint } from "../decision/normal-form.ts";

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

  if (isReplacement && entry.state === "started" && made.is !== "there") {
    // It died before the new index took the place, or its rollback died after the old one was back.
    const act = async () => {
      if (intent === "restore") await engine.replacement.finish(target, name);
      else await engine.replacement.abandon(target, name);
      return undefined;
    };
    return { ...base, action: "restore", detail: "what an interrupted replacement left is dropped", act };
  }
  if (made.is === "gone") return { ...base, action: "gone" };
  if (made.is === "kept") return { ...base, action: "kept", detail: made.why };
  if (isReplacement) {
    const act = () => engine.replacement.restore(entry, made.index);
    return { ...base, action: "restore", detail: previous, act, pending: "restore" };
  }
  const act = async () => {
    await engine.drop(target, made.index.name);
    return undefined;
  };
  return { ...base, action: "drop", act, pending: "drop" };
}

/** What there is of the index that a change made. */
export type Made =
  | { readonly is: "there"; readonly index: ActualIndex }
  | { readonly is: "gone" }
  /** What is there is not to be touched. */
  | { readonly is: "kept"; readonly why: string };

/** Pure. */
export function findMade(view: Observation, entry: LedgerEntry): Made {
  const { name, oid, project } = entry;
  const named = view.actual.filter((index) => index.name === name || view.rules.isVersion?.(index.name, name) === true);
  const index = named.find((one) => fingerprint(one.ownForm ?? one.form) === entry.fingerprint);
  if (!index) return named.length === 0 ? { is: "gone" } : kept("it has another definition by now");
  if (index.building) return kept("it is being built at this moment");
  if (index.guards !== undefined && NEEDED.has(index.guards)) return kept(`a ${index.guards} needs it`);
  // Rebuilt by REINDEX it has another identity and the same mark.
  if (oid !== undefined && index.oid !== oid && index.mark !== markOf(project, entry.fingerprint)) {
    return kept("it was made anew by somebody else");
  }
  return { is: "there", index };
}

function kept(why: string): Made {
  return { is: "kept", why };
}

const NEEDED: ReadonlySet<Duty> = new Set(["constraint", "foreign key", "replica identity"]);
