/** Declared indexes of PostgreSQL that cannot exist beside each other. Pure. */
import { placedIndexes, type Fault } from "../../manifest/fault.ts";
import type { Manifest, PostgresIndex } from "../../manifest/manifest.ts";
import { definitionTail, tableOf } from "./ddl.ts";

/**
 * Indexes share their names with all tables, views and sequences of their schema. Two equal indexes of a table are one:
 * the first does the work of the second, which is never built.
 */
export function postgresConflicts(manifest: Manifest): Fault[] {
  const targets = placedIndexes(manifest, "postgres");
  const owners = new Map<string, string>();
  for (const target of targets.keys()) owners.set(target, `${target} is a declared table`);
  const faults: Fault[] = [];
  for (const [target, placed] of targets) {
    const { schema, table } = tableOf(target);
    const definitions = new Map<string, string>();
    const ownNames = new Set<string>();
    for (const { index, path, place } of placed) {
      const key = `${schema}.${index.name}`;
      const owner = owners.get(key);
      // The same name twice on one table is a fault of its own.
      if (owner !== undefined && !ownNames.has(index.name)) {
        const message = `the name is taken, since ${owner}; in a schema a name can be used once: rename the index`;
        faults.push({ path: [...path, "name"], place, message });
      }
      owners.set(key, `${target} declares an index of this name`);
      ownNames.add(index.name);

      const definition = textOf(index);
      const twin = definition === undefined ? undefined : definitions.get(definition);
      if (twin !== undefined && twin !== index.name) {
        const message = `it declares the same index as ${twin} of ${table}; remove one of them`;
        faults.push({ path: [...path, "columns"], place, message });
      }
      if (definition !== undefined) definitions.set(definition, index.name);
    }
  }
  return faults;
}

/** Undefined where a declaration is faulty by itself. */
function textOf(index: PostgresIndex): string | undefined {
  try {
    const isUnique = index.unique === true || index.constraint !== undefined;
    return JSON.stringify([isUnique, definitionTail(index), index.rolling ?? null]);
  } catch {
    return undefined;
  }
}
