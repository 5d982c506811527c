import type { MongoKey } from "../src/indexes/index.ts";

/** Keys of a MongoDB index in their order: "a" ascends, "-a" descends. */
export function by(...fields: readonly string[]): readonly MongoKey[] {
  return fields.map((field) => (field.startsWith("-") ? [field.slice(1), -1] : [field, 1]));
}
