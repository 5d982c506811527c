/**
 * What `ensure` did for one index. `present`: nothing to do. `adopted`: another session built it meanwhile. `repaired`:
 * an invalid leftover was dropped and the index built. `replaced`: it replaced an index with another definition.
 * `retired`: an older window was dropped. `dropped`: an interrupted drop was finished. `refused`: the build would block
 * writers. `different`: its name, or an index that the server takes for the same, has another definition.
 */
export type EnsureAction =
  | "present"
  | "created"
  | "adopted"
  | "repaired"
  | "replaced"
  | "retired"
  | "dropped"
  | "refused"
  | "different"
  | "failed";

export interface EnsureOutcome {
  readonly action: EnsureAction;
  readonly detail?: string;
}

/** For each action: is the index now as declared, and did this run build it? */
export const OUTCOMES: Readonly<Record<EnsureAction, { readonly isAsDeclared: boolean; readonly isNew: boolean }>> = {
  present: { isAsDeclared: true, isNew: false },
  created: { isAsDeclared: true, isNew: true },
  adopted: { isAsDeclared: true, isNew: false },
  repaired: { isAsDeclared: true, isNew: true },
  replaced: { isAsDeclared: true, isNew: true },
  retired: { isAsDeclared: true, isNew: false },
  dropped: { isAsDeclared: false, isNew: false },
  refused: { isAsDeclared: false, isNew: false },
  different: { isAsDeclared: false, isNew: false },
  failed: { isAsDeclared: false, isNew: false },
};
