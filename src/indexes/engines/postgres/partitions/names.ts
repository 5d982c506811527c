/** The names of the indexes of partitions: the same in every run, within 63 bytes, and different for every table. */
import { REPLACED, REPLACEMENT } from "../../../manifest/reserved.ts";
import { definitionText, digestOf, fitted, type Definition } from "../ddl.ts";

/** An index of the whole table, which may not exist yet. */
export interface TreeIndex {
  /** `schema.table` of the whole table */
  readonly target: string;
  readonly name: string;
  readonly definition: Definition;
}

/** The name of a partition's index while it is built. It does not depend on the definition, so leftovers can be found. */
export function looseName({ target, name }: Pick<TreeIndex, "target" | "name">, schema: string, table: string): string {
  return fitted(`${table}_${name}`, `_${digestOf(target, name, schema, table)}${REPLACEMENT}`);
}

/** The name of a partition's index once it is attached. Another definition has another name. */
export function partName({ target, name, definition }: TreeIndex, schema: string, table: string): string {
  const shown = [REPLACEMENT, REPLACED].reduce((text, ending) => text.replace(ending, ""), name);
  return fitted(`${table}_${shown}`, `_${digestOf(target, name, schema, table, definitionText(definition))}`);
}
