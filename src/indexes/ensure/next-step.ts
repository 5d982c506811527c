/** The one thing that is to be done next for a declared index, given what was seen. Pure: no server is asked here. */
import type { ActualIndex, Observation } from "../decision/observation.ts";
import { stateOf } from "../decision/state.ts";
import type { DeclaredIndex } from "../engines/engine.ts";
import { isOpenDrop, type LedgerEntry } from "../ledger/ledger.ts";

export interface Look {
  /** a collection, or `schema.table` */
  readonly target: string;
  readonly view: Observation;
  /** False for a look that was taken for an earlier index: it is good for saying that this one is there, no more. */
  readonly isFresh: boolean;
  /** The current ledger entry of the index; null where there is none, undefined where the ledger was not read. */
  readonly entry: LedgerEntry | null | undefined;
}

/** What may be done. */
export interface Policy {
  /** puts the index in the place of one that has its name and another definition */
  readonly mayReplace: boolean;
  /** makes a collection that does not exist */
  readonly mayCreateTarget: boolean;
  /** begins nothing any more */
  readonly isCancelled: boolean;
}

export type Step =
  /** Look at the server again: what was seen is too old to act on. */
  | { readonly do: "look" }
  /** Read the ledger: it tells whose the index is. */
  | { readonly do: "consult" }
  /** It is there. `as`: under another name. */
  | { readonly do: "done"; readonly as?: string }
  /** It is there and the keeper did not make it, which the ledger is to say. */
  | { readonly do: "adopt"; readonly as?: string }
  /** It is there, and the process that made it died before it said so. */
  | { readonly do: "finish"; readonly entry: LedgerEntry; readonly as?: string }
  /** A build runs, of this index (`isOwn`) or of another one of the target. */
  | { readonly do: "wait"; readonly isOwn: boolean }
  | { readonly do: "create"; readonly withTarget: boolean }
  /** Drop an invalid leftover of it. */
  | { readonly do: "repair" }
  /** Drop what is left of it by a drop that was interrupted; nothing is built in this run. */
  | { readonly do: "finish drop"; readonly entry: LedgerEntry }
  /** Build it beside `found`, and then put it in its place. */
  | { readonly do: "replace"; readonly found: ActualIndex; readonly detail: string }
  | { readonly do: "refuse"; readonly action: "failed" | "different"; readonly detail: string };

export function nextStep(look: Look, index: DeclaredIndex, policy: Policy): Step {
  const { view, target, entry } = look;
  const state = stateOf(view, index.name);
  if (state.state === "present") return whenPresent(look, index, state.as);
  if (!look.isFresh) return { do: "look" };

  const change = (step: Step): Step => {
    if (policy.isCancelled) return refuse("cancelled");
    return view.busy && step.do !== "wait" ? { do: "wait", isOwn: false } : step;
  };
  switch (state.state) {
    case "unusable":
      return refuse(state.detail);
    case "building":
      return change({ do: "wait", isOwn: true });
    case "different": {
      const { found, detail } = state;
      const isReplaceable = found?.valid === true && !found.building && !index.checked;
      if (!isReplaceable || !policy.mayReplace) return { do: "refuse", action: "different", detail };
      if (index.constraint !== undefined) {
        return { do: "refuse", action: "different", detail: `${detail}. A constraint belongs to a migration.` };
      }
      return change({ do: "replace", found, detail });
    }
    case "invalid":
      if (isSomebodyElses(index)) return refuse(notOurs(index, "invalid"));
      if (entry === undefined) return change({ do: "consult" });
      return change(isOpenDrop(entry) ? { do: "finish drop", entry } : { do: "repair" });
    case "without target":
      if (state.detail !== undefined) return refuse(state.detail);
      if (!policy.mayCreateTarget) {
        return refuse(`there is no collection ${target}; a manifest with createCollections makes it`);
      }
      if (isSomebodyElses(index)) return refuse(notOurs(index, "missing"));
      return change({ do: "create", withTarget: true });
    case "missing":
      if (isSomebodyElses(index)) return refuse(notOurs(index, "missing"));
      return change({ do: "create", withTarget: false });
  }
}

/** Says whose it is, and finishes what an earlier process left unfinished. */
function whenPresent({ view, entry }: Look, index: DeclaredIndex, other: string | undefined): Step {
  const as = other === undefined ? {} : { as: other };
  if (isSomebodyElses(index)) return { do: "done", ...as };
  if (entry === undefined) return { do: "consult" };
  if (entry?.state === "started" && (entry.intent === "create" || entry.intent === "replace")) {
    // An equal one under a name of somebody else's is somebody else's, whatever was begun under this name.
    const isForeign = other !== undefined && view.rules.isVersion?.(other, index.name) !== true;
    return isForeign ? { do: "adopt", ...as } : { do: "finish", entry, ...as };
  }
  const isKnown = entry !== null && entry.state !== "rolled_back" && entry.state !== "failed";
  return isKnown ? { do: "done", ...as } : { do: "adopt", ...as };
}

function isSomebodyElses({ checked, constraint }: DeclaredIndex): boolean {
  return checked === true || constraint !== undefined;
}

function notOurs({ constraint }: DeclaredIndex, what: "missing" | "invalid"): string {
  if (constraint !== undefined) return `the ${constraint} constraint is ${what}; it belongs to a migration`;
  return `it is ${what}, and only checked here: it belongs to somebody else`;
}

function refuse(detail: string): Step {
  return { do: "refuse", action: "failed", detail };
}
