import type { Manifest, EngineName } from "./manifest.ts";

/** The part of a manifest for one engine, one phase, or both. */
export function select(
  manifest: Manifest,
  { engine, phase }: { readonly engine?: EngineName | undefined; readonly phase?: 1 | 2 | 3 | undefined },
): Manifest {
  const { mongo, postgres, ...rest } = manifest;
  return {
    ...rest,
    ...(mongo && engine !== "postgres" ? { mongo: ofPhase(mongo, phase) } : {}),
    ...(postgres && engine !== "mongodb" ? { postgres: ofPhase(postgres, phase) } : {}),
    ...(phase === undefined ? {} : { ignore: withOtherPhases(manifest, phase) }),
  };
}

/** Indexes of the other phases are declared, so they are not reported as extra. */
function withOtherPhases(
  { ignore, mongo = {}, postgres = {} }: Manifest,
  wanted: number,
): NonNullable<Manifest["ignore"]> {
  const others = (targets: Readonly<Record<string, readonly { name: string; phase?: number }[]>>) =>
    Object.values(targets).flatMap((indexes) =>
      indexes.filter(({ phase = 1 }) => phase !== wanted).map(({ name }) => name),
    );
  return {
    mongo: [...(ignore?.mongo ?? []), ...others(mongo)],
    postgres: [...(ignore?.postgres ?? []), ...others(postgres)],
  };
}

function ofPhase<Index extends { readonly phase?: number }>(
  targets: Readonly<Record<string, readonly Index[]>>,
  wanted: number | undefined,
): Readonly<Record<string, readonly Index[]>> {
  if (wanted === undefined) return targets;
  return Object.fromEntries(
    Object.entries(targets).map(([target, indexes]) => [target, indexes.filter(({ phase = 1 }) => phase === wanted)]),
  );
}

/** A manifest with the indexes of one target only, without contracts' queries, defaults and ignored names. */
export function onlyTarget(
  { version, project, mongo, postgres }: Manifest,
  engine: EngineName,
  target: string,
): Manifest {
  return engine === "mongodb"
    ? { version, project, mongo: { [target]: mongo?.[target] ?? [] } }
    : { version, project, postgres: { [target]: postgres?.[target] ?? [] } };
}
