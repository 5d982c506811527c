/** The form in which two definitions are compared. Pure. */
import { createHash } from "node:crypto";

/**
 * A definition in the normal form of its engine: name of the part -> canonical text. Index and table names are not
 * among the parts, so two indexes do the same work exactly when their normal forms are equal.
 */
export type NormalForm = Readonly<Record<string, string>>;

/** A part in which two normal forms differ; "" where one of them lacks it. */
export interface Difference {
  readonly part: string;
  readonly declared: string;
  readonly found: string;
}

export function sameForm(a: NormalForm, b: NormalForm): boolean {
  return differencesOf(a, b).length === 0;
}

/** Sorted by the name of the part. */
export function differencesOf(declared: NormalForm, found: NormalForm): Difference[] {
  return [...new Set([...Object.keys(declared), ...Object.keys(found)])]
    .sort()
    .map((part) => ({ part, declared: declared[part] ?? "", found: found[part] ?? "" }))
    .filter((difference) => difference.declared !== difference.found);
}

/** For a person: `keys: declared "a", found "b"`. */
export function describeDifferences(differences: readonly Difference[]): string {
  return differences.map(({ part, declared, found }) => `${part}: declared "${declared}", found "${found}"`).join("; ");
}

/** SHA-256 of a normal form, as hex: the ledger recognises the keeper's own indexes by it. */
export function fingerprint(form: NormalForm): string {
  const parts = Object.entries(form).filter(([, text]) => text !== "");
  return createHash("sha256")
    .update(JSON.stringify(parts.sort(([a], [b]) => (a < b ? -1 : 1))))
    .digest("hex");
}
