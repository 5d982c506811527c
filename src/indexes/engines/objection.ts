import type { Change, Engine } from "./engine.ts";

/**
 * Why a change could not be carried through to its end, and what to do; undefined if nothing is known to be in the way.
 * Every verb asks it before the first statement, so that none stops half-way.
 */
export async function objectionTo(
  {
    objection,
    replacement,
  }: Pick<Engine, "objection"> & { readonly replacement: Pick<Engine["replacement"], "obstacle"> },
  change: Change,
): Promise<string | undefined> {
  const { does, target, name, found } = change;
  const obstacle = does === "replace" && found ? replacement.obstacle(target, name, found) : undefined;
  return obstacle ?? objection?.(change);
}
