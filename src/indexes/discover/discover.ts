/**
 * A manifest of what the databases have already. Each declaration is compared with its index as `check` does it, so what a
 * manifest cannot say is left out of it, with the reason, rather than declared almost right.
 */
import { UsageError } from "../../errors.ts";
import { stateOf } from "../decision/state.ts";
import type { Engine } from "../engines/engine.ts";
import type { FoundDeclaration, FoundIndex } from "../engines/discovery.ts";
import { withEngines, type IndexTargets, type OpenOptions } from "../engines/open.ts";
import { lintManifest } from "../engines/lint.ts";
import { manifestText } from "../manifest/load.ts";
import type { EngineName, Manifest, MongoIndex, PostgresIndex } from "../manifest/manifest.ts";
import { WHY_UNKNOWN } from "../manifest/reserved.ts";
import type { DiscoveredTarget, LeftOut } from "./report.ts";
import { discoveredText } from "./text.ts";

export interface DiscoverOptions extends Pick<IndexTargets, "mongo" | "databaseUrl">, Pick<OpenOptions, "signal"> {
  /** only this one */
  readonly engine?: EngineName;
  /** only this collection, or this `schema.table` */
  readonly target?: string;
  /** only the tables of this schema */
  readonly schema?: string;
  /** the manifest's name; by default that of the database */
  readonly project?: string;
}

export interface DiscoverReport {
  readonly manifest: Manifest;
  /** the content of a .json file, parsed */
  readonly json: unknown;
  /** the manifest as YAML, with the size and the use of each index as comments */
  readonly yaml: string;
  readonly targets: readonly DiscoveredTarget[];
}

/** Changes nothing. @throws UsageError (server, nothing there), UnreachableError */
export async function discoverIndexes(options: DiscoverOptions): Promise<DiscoverReport> {
  const found = await readAll(options);
  if (found.targets.length === 0) throw nothingThere(options);
  const draft = withoutFaults(found);
  const refused = await refusals(options, draft.manifest);
  const targets = draft.targets.map((one) => checked(one, refused));
  const manifest = manifestOf(found.project, targets);
  const discovered = targets.map(({ indexes, ...rest }): DiscoveredTarget => {
    return { ...rest, declared: new Map(indexes.map(({ name, notes }) => [name, notes])) };
  });
  const json: unknown = JSON.parse(manifestText(manifest, "json"));
  return { manifest, json, yaml: discoveredText(manifest, discovered), targets: discovered };
}

interface Declared extends FoundIndex {
  readonly declaration: FoundDeclaration;
}

interface ReadTarget extends Omit<DiscoveredTarget, "declared"> {
  readonly indexes: readonly Declared[];
}

interface Found {
  readonly project: string;
  readonly targets: readonly ReadTarget[];
}

async function readAll(options: DiscoverOptions): Promise<Found> {
  const { engine, target, schema, project } = options;
  const nothing = (name: EngineName) => (engine === undefined || engine === name ? {} : undefined);
  const [mongo, postgres] = [schema === undefined ? nothing("mongodb") : undefined, nothing("postgres")];
  const manifest = { version: 1, project: "discover", ...(mongo && { mongo }), ...(postgres && { postgres }) } as const;
  return withEngines({ ...options, manifest }, "look", async ({ engines, session, signal }) => {
    const at = (await session.now()).toISOString();
    const targets: ReadTarget[] = [];
    for (const one of engines) {
      for (const name of await one.discovery.targets(schema)) {
        if (target !== undefined && name !== target) continue;
        signal.throwIfAborted();
        targets.push(await readTarget(one, name, at));
      }
    }
    return {
      project: project ?? (await engines[0]?.statistics.database()) ?? "discovered",
      targets: targets.filter(({ indexes, leftOut, notes }) => indexes.length + leftOut.length + notes.length > 0),
    };
  });
}

async function readTarget(engine: Engine, target: string, at: string): Promise<ReadTarget> {
  const { indexes, notes } = await engine.discovery.read(target);
  const isDeclared = (index: FoundIndex): index is Declared => index.declaration !== undefined;
  return {
    ...{ engine: engine.name, target, notes, figures: await engine.statistics.figures(target, at) },
    indexes: indexes.filter(isDeclared),
    leftOut: indexes.filter((index) => !isDeclared(index)).map((index) => leftOut(index, index.notes[0] ?? "")),
  };
}

function leftOut({ name, definition }: FoundIndex, why: string): LeftOut {
  return { name, definition, why };
}

/** Leaves out what a manifest may not declare: each index is tried beside those before it. */
function withoutFaults({ project, targets }: Found): { readonly manifest: Manifest; readonly targets: ReadTarget[] } {
  const kept: ReadTarget[] = [];
  for (const target of targets) {
    let own: ReadTarget = { ...target, indexes: [] };
    for (const index of target.indexes) {
      const more = { ...own, indexes: [...own.indexes, index] };
      const fault = faultOf(manifestOf(project, [more]));
      own = fault === undefined ? more : { ...own, leftOut: [...own.leftOut, leftOut(index, fault)] };
    }
    kept.push(own);
  }
  return { manifest: manifestOf(project, kept), targets: kept };
}

function faultOf(manifest: Manifest): string | undefined {
  try {
    lintManifest(manifest);
    return undefined;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return error.lines
      .slice(1)
      .map((line) => line.trim())
      .join("; ");
  }
}

/** By engine, target and name: why `check` would not call the declared index present. */
async function refusals(options: DiscoverOptions, manifest: Manifest): Promise<ReadonlyMap<string, string>> {
  return withEngines({ ...options, manifest }, "look", async ({ engines, signal }) => {
    const refused = new Map<string, string>();
    for (const engine of engines) {
      for (const [target, indexes] of engine.targets) {
        signal.throwIfAborted();
        const view = await engine.observe(target);
        for (const { name } of indexes) {
          const state = stateOf(view, name);
          if (state.state === "present" || state.state === "building") continue;
          const detail = "detail" in state ? state.detail : undefined;
          refused.set(keyOf(engine.name, target, name), `its declaration is ${state.state}: ${detail ?? "look again"}`);
        }
      }
    }
    return refused;
  });
}

function keyOf(...parts: readonly [EngineName, target: string, name: string]): string {
  return JSON.stringify(parts);
}

function checked(target: ReadTarget, refused: ReadonlyMap<string, string>): ReadTarget {
  const reasonOf = ({ name }: FoundIndex) => refused.get(keyOf(target.engine, target.target, name));
  const others = target.indexes.flatMap((index) => {
    const reason = reasonOf(index);
    return reason === undefined ? [] : [leftOut(index, reason)];
  });
  return {
    ...target,
    indexes: target.indexes.filter((index) => reasonOf(index) === undefined),
    leftOut: [...target.leftOut, ...others],
  };
}

function manifestOf(project: string, targets: readonly ReadTarget[]): Manifest {
  const of = <Index>(engine: EngineName): Record<string, Index[]> =>
    Object.fromEntries(
      targets
        .filter((one) => one.engine === engine && one.indexes.length > 0)
        .map(({ target, indexes }) => [
          target,
          indexes.map(
            ({ declaration: { name, ...rest }, about }) => ({ name, why: about ?? WHY_UNKNOWN, ...rest }) as Index,
          ),
        ]),
    );
  const [mongo, postgres] = [of<MongoIndex>("mongodb"), of<PostgresIndex>("postgres")];
  return {
    version: 1,
    project,
    ...(Object.keys(mongo).length > 0 ? { mongo } : {}),
    ...(Object.keys(postgres).length > 0 ? { postgres } : {}),
  };
}

function nothingThere({ target, schema }: DiscoverOptions): UsageError {
  if (target !== undefined) {
    return new UsageError(
      `There is no collection "${target}" with an index, and no table; write a table as schema.table.`,
    );
  }
  const where = schema === undefined ? "the databases" : `the schema "${schema}"`;
  return new UsageError(`No index was found in ${where} that the role of this connection can see.`);
}
