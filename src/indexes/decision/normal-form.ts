/** The form in which two definitions are compared. Pure. */
import { createHash } from "node:crypto";

/**
 * A definition in the normal form of its engine: name of the part -> canonical text. Index and table names are no parts,
 * so two indexes do the same work if, and only if, their forms are equal.
 */
export type NormalForm = Readonly<Record<string, string>>;

/** A part that two forms do not share; "" where one of them lacks it. */
export interface Difference {
  readonly part: string;
  readonly declared: string;
  readonly found: string;
}

export function sameForm(a: NormalForm, b: NormalForm): boolean {
  return differencesOf(a, b).length === 0;
}

/** By the name of the part. */
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

/** SHA-256 of a form, as hex: how a ledger recognises an index it made. */
export function fingerprint(form: NormalForm): string {
  const parts = Object.entries(form).filter(([, text]) => text !== "");
  return createHash("sha256")
    .update(JSON.stringify(parts.sort(([a], [b]) => (a < b ? -1 : 1))))
    .digest("hex");
}
