import type { ActualIndex } from "./observation.ts";
/**
 * Which indexes do no work that another does not do as well. Advice only: some want the narrower one for its size, and a
 * planner may be wrong about the wider. Pure; the rule is the same for both engines.
 */

/** An index that could go, and the one that does its work. */
export interface Redundancy {
  readonly name: string;
  readonly by: string;
  /** `duplicate`: the same keys; `redundant`: the first keys of the other. */
  readonly kind: "duplicate" | "redundant";
}

/**
 * An index is made redundant by a usable one whose first keys are its own (in the same order and direction, or all
 * turned round), that holds at least its entries and included columns. Never one that does more than be read: a unique
 * one, a constraint's, TTL, text, a hidden one. Of two equal ones the undeclared one is named, or else the later name.
 * The one named as `by` is never redundant itself, so that all that are named can go.
 */
export function findRedundant(indexes: readonly ActualIndex[], declared: ReadonlySet<string>): Redundancy[] {
  const betters = new Map(
    indexes.map((index) => [
      index,
      index.order === undefined || index.guards !== undefined
        ? []
        : indexes.filter(
            (other) =>
              other !== index &&
              doesWorkOf(other, index) &&
              (!doesWorkOf(index, other) || yields(index, other, declared)),
          ),
    ]),
  );
  return indexes.flatMap((index): Redundancy[] => {
    const by = betters.get(index)?.find((other) => betters.get(other)?.length === 0);
    if (!by) return [];
    const isEqual = by.order?.keys.length === index.order?.keys.length;
    return [{ name: index.name, by: by.name, kind: isEqual ? "duplicate" : "redundant" }];
  });
}

/** Two that do each other's work: does this one go? */
function yields(index: ActualIndex, other: ActualIndex, declared: ReadonlySet<string>): boolean {
  if (other.guards !== undefined) return true;
  if (declared.has(index.name) !== declared.has(other.name)) return declared.has(other.name);
  return index.name > other.name;
}

function doesWorkOf(wide: ActualIndex, narrow: ActualIndex): boolean {
  if (!wide.order || !narrow.order || !wide.valid || wide.building || wide.form["hidden"]) return false;
  if ((wide.form["collation"] ?? "") !== (narrow.form["collation"] ?? "") && wide.order.collatesAsOne) return false;
  const { keys } = wide.order;
  const begins = (those: readonly string[]) => those.every((key, at) => key === keys[at]);
  if (!begins(narrow.order.keys) && !begins(narrow.order.opposite)) return false;
  if (wide.order.holds !== "" && wide.order.holds !== narrow.order.holds) return false;
  const columns = new Set([...wide.order.columns, ...wide.order.include]);
  return narrow.order.include.every((column) => columns.has(column));
}
