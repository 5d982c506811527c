/** Refuses a faulty manifest before any server is asked, and lists every fault with its place. */
import { contractFaults } from "../contract/contracts.ts";
import { placedIndexes, refuseFaults, type Fault } from "../manifest/fault.ts";
import { declarationFaults } from "../manifest/lint.ts";
import type { Manifest } from "../manifest/manifest.ts";
import { isWindowName } from "../manifest/rolling.ts";
import { manifestWarnings } from "../manifest/warnings.ts";
import { mongoConflicts, mongoConflictWarnings } from "./mongo/conflicts.ts";
import { postgresConflicts } from "./postgres/conflicts.ts";

/** Faults of single declarations, of contracts, and of declarations that exclude each other. */
export function manifestFaults(manifest: Manifest): Fault[] {
  return [
    ...declarationFaults(manifest),
    ...nameFaults(manifest),
    ...mongoConflicts(manifest),
    ...postgresConflicts(manifest),
    ...contractFaults(manifest),
  ];
}

/** @throws UsageError naming each faulty index or contract */
export function lintManifest(manifest: Manifest): void {
  refuseFaults(manifest, manifestFaults(manifest));
}

/** Declarations that servers accept, or newer ones do, and that are doubtful, a line each. */
export function warningsOf(manifest: Manifest): string[] {
  return [...manifestWarnings(manifest), ...mongoConflictWarnings(manifest)];
}

/** Names that occur twice on one target, or that ensure would take for an older window of a rolling index. */
function nameFaults(manifest: Manifest): Fault[] {
  const targets = [...placedIndexes(manifest, "mongo").values(), ...placedIndexes(manifest, "postgres").values()];
  return targets.flatMap((placed) => {
    const seen = new Set<string>();
    const bases = placed.filter(({ index }) => index.rolling !== undefined).map(({ index }) => index.name);
    return placed.flatMap(({ index: { name }, path, place }): Fault[] => {
      const isTwice = seen.has(name);
      seen.add(name);
      const base = bases.find((one) => isWindowName(name, one));
      return [
        ...(isTwice ? ["declared twice"] : []),
        ...(base === undefined ? [] : [`its name is that of a window of ${base}, which ensure drops; rename it`]),
      ].map((message) => ({ path: [...path, "name"], place, message }));
    });
  });
}
