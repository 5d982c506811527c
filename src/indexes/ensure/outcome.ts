/** What `ensure` did for one index, in the words of its report. */

/**
 * `present`: nothing to do. `adopted`: another session was building it, and did. `repaired`: an invalid leftover was
 * replaced. `replaced`: it took the place of one with another definition. `retired`: an older window went, since the one
 * in force is there. `dropped`: a drop that had been interrupted was finished. `refused`: the build would block writers.
 * `different`: the name, or an index the server holds for the same, has another definition.
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

/** Is the index as it is declared after that, and did this run build it? */
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
