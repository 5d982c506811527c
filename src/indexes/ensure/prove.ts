/** Proves that an index serves its contracts, before the old index or an older window is dropped. */
import type { OpenOptions, IndexTargets } from "../engines/open.ts";
import { verifyIndexes } from "../verify/verify.ts";

type ProofOptions = IndexTargets & Pick<OpenOptions, "signal">;

/**
 * Do the contracts of an index hold on the live data? Resolves to the reason if not; to undefined if they do, or if
 * there is too little data to tell. A query that is slower than promised is no reason to keep the old index.
 */
export function proveWith({ manifest, mongo, databaseUrl, signal }: ProofOptions): NonNullable<OpenOptions["prove"]> {
  return async (target, name, now) => {
    const only = { target, indexes: [name] };
    const common = { manifest, mongo, databaseUrl, ...(signal ? { signal } : {}) };
    const { entries } = await verifyIndexes({ ...common, only, now });
    // While the old index exists, the planner may prefer it: then the verdict is "could use", which is proof enough.
    const broken = entries.filter(({ mode, verdict }) => mode !== "cannot" && verdict === "cannot use");
    if (broken.length === 0) return undefined;
    return broken.map(({ contract, why }) => `"${contract}" cannot use it (${why.join("; ")})`).join(", ");
  };
}
