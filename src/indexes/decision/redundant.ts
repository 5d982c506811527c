/**
 * Finds indexes whose work another index does as well. Advice only: a team may want the narrower index for its size,
 * and a planner may misjudge the wider one. Pure; the rule is the same for both engines.
 */
import type { ActualIndex } from "./observation.ts";

/** An index that could be dropped, and the index `by` that does its work. */
export interface Redundancy {
  readonly name: string;
  readonly by: string;
  /** `duplicate`: the same keys; `redundant`: the first keys of the other. */
  readonly kind: "duplicate" | "redundant";
}

/**
 * An index is redundant where a usable index begins with the same keys (in the same order and direction, or all
 * reversed) and holds at least its entries and included columns. Never redundant is an index that does more than serve
 * reads: unique, of a constraint, TTL, text, hidden. Of two equal indexes the undeclared one is redundant, or else the
 * one whose name sorts later. The index named as `by` is never redundant itself, so all redundant ones can be dropped.
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

/** Of two indexes that do each other's work: is this the redundant one? */
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
