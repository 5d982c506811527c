import type { Manifest, EngineName } from "./manifest.ts";

/** The part of a manifest that was asked for: of one engine, of one phase. */
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

/** What another phase declares is not extra. */
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

/** The indexes of one target alone, without what else the manifest says. */
export function onlyTarget(
  { version, project, mongo, postgres }: Manifest,
  engine: EngineName,
  target: string,
): Manifest {
  return engine === "mongodb"
    ? { version, project, mongo: { [target]: mongo?.[target] ?? [] } }
    : { version, project, postgres: { [target]: postgres?.[target] ?? [] } };
}
