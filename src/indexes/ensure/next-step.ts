/** Decides the next step for a declared index from what was seen. Pure. */
import type { ActualIndex, Observation } from "../decision/observation.ts";
import { stateOf } from "../decision/state.ts";
import type { DeclaredIndex } from "../engines/engine.ts";
import { isOpenDrop, type LedgerEntry } from "../ledger/ledger.ts";

export interface Look {
  /** a collection, or `schema.table` */
  readonly target: string;
  readonly view: Observation;
  /** False for a look taken for an earlier index: enough to call this one present, too old for any change. */
  readonly isFresh: boolean;
  /** The current ledger entry of the index; null where there is none, undefined where the ledger was not read. */
  readonly entry: LedgerEntry | null | undefined;
}

/** What the run may do. */
export interface Policy {
  /** may replace an index that has the declared name but another definition */
  readonly mayReplace: boolean;
  /** may create a collection that does not exist */
  readonly mayCreateTarget: boolean;
  /** was cancelled and begins nothing new */
  readonly isCancelled: boolean;
}

export type Step =
  /** Look at the server again: the last look is too old to act on. */
  | { readonly do: "look" }
  /** Read the ledger, which says who made the index. */
  | { readonly do: "consult" }
  /** The index exists; `as`: under this name. */
  | { readonly do: "done"; readonly as?: string }
  /** The index exists and the keeper did not make it: write that into the ledger. */
  | { readonly do: "adopt"; readonly as?: string }
  /** The index exists, and the process that made it died before it wrote the end into the ledger. */
  | { readonly do: "finish"; readonly entry: LedgerEntry; readonly as?: string }
  /** A build is running, of this index (`isOwn`) or of another on the target. */
  | { readonly do: "wait"; readonly isOwn: boolean }
  | { readonly do: "create"; readonly withTarget: boolean }
  /** Drop the index's invalid leftover. */
  | { readonly do: "repair" }
  /** Finish an interrupted drop; this run builds nothing in its place. */
  | { readonly do: "finish drop"; readonly entry: LedgerEntry }
  /** Build the index beside `found`, then replace `found`. */
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
      if (isOpenDrop(entry)) return change({ do: "finish drop", entry });
      return change(state.parts ? { do: "create", withTarget: false } : { do: "repair" });
    case "without target":
      if (state.detail !== undefined) return refuse(state.detail);
      if (!policy.mayCreateTarget) {
        return refuse(
          `there is no collection ${target}; check its name, or set createCollections: true in the manifest`,
        );
      }
      if (isSomebodyElses(index)) return refuse(notOurs(index, "missing"));
      return change({ do: "create", withTarget: true });
    case "missing":
      if (isSomebodyElses(index)) return refuse(notOurs(index, "missing"));
      return change({ do: "create", withTarget: false });
  }
}

/** The step for an index that exists: complete its ledger entry if need be. */
function whenPresent({ view, entry }: Look, index: DeclaredIndex, other: string | undefined): Step {
  const as = other === undefined ? {} : { as: other };
  if (isSomebodyElses(index)) return { do: "done", ...as };
  if (entry === undefined) return { do: "consult" };
  if (entry?.state === "started" && (entry.intent === "create" || entry.intent === "replace")) {
    // An equal index under an undeclared name was made by somebody else, whatever was begun under the declared name.
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
  return `it is ${what}; the manifest only checks it (checked: true), so its owner has to build it`;
}

function refuse(detail: string): Step {
  return { do: "refuse", action: "failed", detail };
}
