/** The proof that an index does its work, asked for before the one that did it so far goes. */
import type { OpenOptions, IndexTargets } from "../engines/open.ts";
import { verifyIndexes } from "../verify/verify.ts";

type ProofOptions = IndexTargets & Pick<OpenOptions, "signal">;

/**
 * Do the contracts of an index hold on the live data? Its answer says why not; undefined where they do, or too little data
 * is there to tell. A query that is slower than promised is no reason to keep the former index.
 */
export function proveWith({ manifest, mongo, databaseUrl, signal }: ProofOptions): NonNullable<OpenOptions["prove"]> {
  return async (target, name, now) => {
    const only = { target, indexes: [name] };
    const common = { manifest, mongo, databaseUrl, ...(signal ? { signal } : {}) };
    const { entries } = await verifyIndexes({ ...common, only, now });
    // Also with the former one still there: an index that only loses against another "could" be used.
    const broken = entries.filter(({ mode, verdict }) => mode !== "cannot" && verdict === "cannot use");
    if (broken.length === 0) return undefined;
    return broken.map(({ contract, why }) => `"${contract}" cannot use it (${why.join("; ")})`).join(", ");
  };
}
