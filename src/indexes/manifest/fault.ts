/** What is wrong with a manifest, with its place there. */
import { UsageError } from "../../errors.ts";
import type { Contract, Manifest, MongoIndex, PostgresIndex } from "./manifest.ts";

export interface Fault {
  /** the place in the manifest, from which a file's line and column are found */
  readonly path: readonly PropertyKey[];
  /** the place for a person: `postgres.public.orders.by_day` */
  readonly place: string;
  readonly message: string;
}

/** A declared index and its place. */
export interface PlacedIndex<Index> {
  readonly index: Index;
  readonly path: readonly PropertyKey[];
  readonly place: string;
}

/** The declared indexes of one engine, with their places, by collection or `schema.table`. */
export function placedIndexes(
  manifest: Manifest,
  key: "mongo",
): ReadonlyMap<string, readonly PlacedIndex<MongoIndex>[]>;
export function placedIndexes(
  manifest: Manifest,
  key: "postgres",
): ReadonlyMap<string, readonly PlacedIndex<PostgresIndex>[]>;
export function placedIndexes(
  manifest: Manifest,
  key: "mongo" | "postgres",
): ReadonlyMap<string, readonly PlacedIndex<MongoIndex | PostgresIndex>[]> {
  const targets: readonly (readonly [string, readonly (MongoIndex | PostgresIndex)[]])[] = Object.entries(
    manifest[key] ?? {},
  );
  return new Map(
    targets.map(([target, indexes]) => [
      target,
      indexes.map((index, at) => ({ index, path: [key, target, at], place: `${key}.${target}.${index.name}` })),
    ]),
  );
}

/** All contracts, each with the place of its owner, and the kind of owner. */
export function placedQueries(manifest: Manifest) {
  const ofIndexes = (["mongo", "postgres"] as const).flatMap((owner) => {
    const targets = owner === "mongo" ? placedIndexes(manifest, owner) : placedIndexes(manifest, owner);
    return [...targets].flatMap(([target, indexes]) =>
      indexes.map(({ index, path, place }) => ({
        ...{ owner, target, place },
        ...{ path: [...path, "contracts"], contracts: index.contracts ?? [] },
      })),
    );
  });
  const ofTargets = Object.entries(manifest.queries ?? {}).map(([target, contracts]) => ({
    ...{ owner: "queries" as const, target, place: `queries.${target}` },
    ...{ path: ["queries", target] as readonly PropertyKey[], contracts },
  }));
  const owners: readonly {
    readonly owner: "mongo" | "postgres" | "queries";
    readonly target: string;
    readonly place: string;
    readonly path: readonly PropertyKey[];
    readonly contracts: readonly Contract[];
  }[] = [...ofIndexes, ...ofTargets];
  return owners;
}

/** @throws UsageError that lists the faults, where there are any */
export function refuseFaults({ project }: Manifest, faults: readonly Fault[]): void {
  if (faults.length === 0) return;
  throw new UsageError([
    `the index manifest "${project}" is wrong:`,
    ...faults.map(({ place, message }) => `  ${place}: ${message}`),
  ]);
}
