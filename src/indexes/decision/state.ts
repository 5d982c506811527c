/**
 * The state of a declared index in a database. Every verb decides by it, and maps it to its own report's words by one
 * table. Pure.
 */
import { describeDifferences, differencesOf, sameForm } from "./normal-form.ts";
import type { ActualIndex, DeclaredForm, Observation, Parts, Rules } from "./observation.ts";

export type IndexState =
  /** `as`: the name of an equal index that does the work. */
  | { readonly state: "present"; readonly as?: string }
  | { readonly state: "building"; readonly as?: string }
  /** `parts`: partitions that have their index already. */
  | { readonly state: "missing"; readonly parts?: Parts }
  /**
   * An invalid leftover with the declared definition: it is dropped and built again, or, where it has `parts`, the rest of
   * the partitions is built.
   */
  | { readonly state: "invalid"; readonly parts?: Parts }
  /** Another definition or relation has the name, or the server would refuse the build beside an existing index. */
  | {
      readonly state: "different";
      /** for a person */
      readonly detail: string;
      /** parts of the definition that differ; empty where the obstacle is no definition */
      readonly parts: readonly string[];
      readonly found?: ActualIndex;
    }
  /** The table or collection does not exist. `detail`: why the keeper cannot create it. */
  | { readonly state: "without target"; readonly detail?: string }
  /** The target is no table or collection, or the server refuses the definition. */
  | { readonly state: "unusable"; readonly detail: string };

/** The state of one declared index of a target. */
export function stateOf(view: Observation, name: string): IndexState {
  const { isMissing, unusable, actual, declared, rules, begun } = view;
  if (unusable !== undefined) return { state: isMissing ? "without target" : "unusable", detail: unusable };
  const wanted = declared.get(name);
  if (!wanted || wanted instanceof Error) return { state: "unusable", detail: wanted?.message ?? "it is not declared" };
  const state = compare(wanted, actual, rules);
  if (state.state !== "missing") return state;
  const parts = begun?.get(name);
  return isMissing ? { state: "without target" } : { ...state, ...(parts ? { parts } : {}) };
}

/** The state of a declared index, given all indexes of its target. */
export function compare(declared: DeclaredForm, actual: readonly ActualIndex[], rules: Rules = {}): IndexState {
  const named = actual.find(({ name }) => name === declared.name);
  if (named) return compareNamed(declared, named);

  const twins = actual.filter((index) => sameForm(index.form, declared.form) && constraintFits(declared, index));
  const twin = twins.find(({ valid, building }) => valid && !building) ?? twins.find(({ building }) => building);
  if (twin) return { state: twin.building ? "building" : "present", as: twin.name };

  const taken = rules.taken?.get(declared.name);
  if (taken !== undefined) return { state: "different", detail: `the name belongs to ${taken}`, parts: [] };
  if (declared.constraint !== undefined) return { state: "missing" };

  const version = actual.find(({ name }) => rules.isVersion?.(name, declared.name));
  if (version) return different(declared, version);

  const { identity } = rules;
  const near = identity && actual.find(({ form }) => identity.every((part) => form[part] === declared.form[part]));
  return near ? different(declared, near, rules.limit) : { state: "missing" };
}

function compareNamed(declared: DeclaredForm, named: ActualIndex): IndexState {
  if (!sameForm(declared.form, named.form)) return different(declared, named);
  if (named.building) return { state: "building" };
  if (!constraintFits(declared, named)) {
    const detail = `the index of that name belongs to no ${declared.constraint ?? ""} constraint`;
    return { state: "different", detail, parts: [], found: named };
  }
  if (named.valid) return { state: "present" };
  return { state: "invalid", ...(named.parts ? { parts: named.parts } : {}) };
}

/** @param limit why the server does not hold both */
function different(declared: DeclaredForm, found: ActualIndex, limit?: string): IndexState {
  const differences = differencesOf(declared.form, found.form);
  const isOwnName = found.name === declared.name;
  const how = !isOwnName ? `as ${found.name}: ` : found.building ? "being built, " : found.valid ? "" : "invalid, ";
  const detail = how + describeDifferences(differences) + (limit === undefined ? "" : `. ${limit}`);
  return { state: "different", detail, parts: differences.map(({ part }) => part), found };
}

function constraintFits(declared: DeclaredForm, index: ActualIndex): boolean {
  return declared.constraint === undefined || declared.constraint === index.constraint;
}

/** The name in the database of the index that is the declared one, valid or not; undefined where there is none. */
export function nameInDatabase(state: IndexState, declared: string): string | undefined {
  if (state.state === "present" || state.state === "building") return state.as ?? declared;
  return state.state === "invalid" ? declared : undefined;
}

/** Can the difference be removed in place, without a rebuild? */
export function isChangeInPlace(state: IndexState, { attributes }: Rules): boolean {
  if (state.state !== "different" || state.found?.valid !== true || state.found.building) return false;
  return state.parts.length > 0 && state.parts.every((part) => attributes?.has(part) === true);
}
