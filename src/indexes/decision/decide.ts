/** The decision of one index: what is declared against what a server has. Pure; both engines and every verb share it. */
import { createHash } from "node:crypto";

/**
 * A definition in the normal form of its engine: name of the part -> canonical text. Index and table names are no parts,
 * so two indexes do the same work if, and only if, their forms are equal.
 */
export type NormalForm = Readonly<Record<string, string>>;

export interface ActualIndex {
  readonly name: string;
  readonly form: NormalForm;
  /** Its form in its own words, where `form` has those of a declared one that says the same. */
  readonly ownForm?: NormalForm;
  /** False for what an interrupted build or drop left behind: it costs writes and serves no read. */
  readonly valid: boolean;
  /** Some session builds it at this moment; dropping it would kill that build. */
  readonly building: boolean;
  readonly constraint?: "primary" | "unique";
  /** How it is ordered; absent for kinds without an order (GIN, text, hashed, geographic). */
  readonly order?: KeyOrder;
  /** What it does besides being read: "unique", "TTL", "foreign key". Such an index is never called superfluous. */
  readonly guards?: string;
  /** Enough to make it again, in the engine's own words. */
  readonly definition?: string;
  /** What the keeper wrote at an index it made, where the server has a place for that. */
  readonly mark?: string;
  /** PostgreSQL's identity of it. */
  readonly oid?: number;
}

/** The order of an index's entries, as texts that are equal when the order is. */
export interface KeyOrder {
  /** a key with its direction (and operator class, collation where each key has its own) */
  readonly keys: readonly string[];
  /** the same read backwards */
  readonly opposite: readonly string[];
  /** the keys without direction */
  readonly columns: readonly string[];
  readonly include: readonly string[];
  /** Which rows or documents it holds: "" for all, else its predicate. */
  readonly holds: string;
  /** The collation belongs to the index and not to a key (MongoDB). */
  readonly collatesAsOne: boolean;
}

export interface DeclaredForm {
  readonly name: string;
  readonly form: NormalForm;
  readonly constraint?: "primary" | "unique";
}

export type Decision =
  | { readonly state: "create" }
  /** `otherName`: an equal index that does the work under another name. */
  | { readonly state: "present"; readonly otherName?: string }
  | { readonly state: "building"; readonly otherName?: string }
  /** A leftover of the declared definition: drop it and build again. */
  | { readonly state: "invalid" }
  /** The name is taken by something else, or the server would refuse the build beside what exists. Never dropped. */
  | { readonly state: "different"; readonly detail: string; readonly found?: ActualIndex }
  /** A constraint's index that is not there: a migration's work. */
  | { readonly state: "absent" };

export interface Rules {
  /** Parts that make two indexes the same one to the server, whatever their other parts (MongoDB's error 85). */
  readonly identity?: readonly string[];
  /** Names in the same name space that belong to something that is no index of this table, with what it is. */
  readonly taken?: ReadonlyMap<string, string>;
  /** Is this the name that a later definition of the declared index was given, because no index can be renamed? */
  readonly isVersion?: (name: string, declared: string) => boolean;
}

/** What there is to do for one declared index, given all indexes of its table. */
export function decide(declared: DeclaredForm, actual: readonly ActualIndex[], rules: Rules = {}): Decision {
  const named = actual.find(({ name }) => name === declared.name);
  if (named) return decideNamed(declared, named);

  const twins = actual.filter((index) => sameForm(index.form, declared.form) && constraintFits(declared, index));
  const twin = twins.find(({ valid, building }) => valid && !building) ?? twins.find(({ building }) => building);
  if (twin) return { state: twin.building ? "building" : "present", otherName: twin.name };

  const taken = rules.taken?.get(declared.name);
  if (taken !== undefined) return { state: "different", detail: `the name belongs to ${taken}` };
  if (declared.constraint !== undefined) return { state: "absent" };

  const version = actual.find(({ name }) => rules.isVersion?.(name, declared.name));
  if (version) return different(declared, version, `as ${version.name}: `);

  const { identity } = rules;
  if (identity) {
    const near = actual.find(({ form }) => identity.every((part) => form[part] === declared.form[part]));
    if (near) return different(declared, near, `as ${near.name}: `);
  }
  return { state: "create" };
}

function decideNamed(declared: DeclaredForm, named: ActualIndex): Decision {
  if (!sameForm(declared.form, named.form)) {
    return different(declared, named, named.building ? "being built, " : named.valid ? "" : "invalid, ");
  }
  if (named.building) return { state: "building" };
  if (!constraintFits(declared, named)) {
    return {
      state: "different",
      detail: `it is not the index of a ${declared.constraint ?? ""} constraint`,
      found: named,
    };
  }
  return { state: named.valid ? "present" : "invalid" };
}

function different(declared: DeclaredForm, found: ActualIndex, how: string): Decision {
  return { state: "different", detail: how + describeDifference(declared.form, found.form), found };
}

function constraintFits(declared: DeclaredForm, index: ActualIndex): boolean {
  return declared.constraint === undefined || declared.constraint === index.constraint;
}

export function sameForm(a: NormalForm, b: NormalForm): boolean {
  return describeDifference(a, b) === "";
}

/** The parts that differ, for a person: `keys: declared "a", found "b"`; empty if none does. */
export function describeDifference(declared: NormalForm, found: NormalForm): string {
  return [...new Set([...Object.keys(declared), ...Object.keys(found)])]
    .sort()
    .filter((part) => (declared[part] ?? "") !== (found[part] ?? ""))
    .map((part) => `${part}: declared "${declared[part] ?? ""}", found "${found[part] ?? ""}"`)
    .join("; ");
}

/** SHA-256 of a form, as hex: how a ledger recognises an index it made. */
export function fingerprint(form: NormalForm): string {
  const parts = Object.entries(form).filter(([, text]) => text !== "");
  return createHash("sha256")
    .update(JSON.stringify(parts.sort(([a], [b]) => (a < b ? -1 : 1))))
    .digest("hex");
}
