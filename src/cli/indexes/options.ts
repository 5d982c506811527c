import { InvalidArgumentError, type Command } from "commander";
import { UsageError } from "../../errors.ts";
import { type EngineName, type IndexTargets, type Manifest, select } from "../../indexes/index.ts";
import type { CommandContext } from "../command.ts";
import { tell } from "../terminal.ts";

/** The flags that every verb of `indexes` has. */
export interface IndexFlags {
  readonly manifest?: string;
  readonly engine?: EngineName;
  readonly phase?: 1 | 2 | 3;
}

/** Adds the flags that select indexes. */
export function withIndexFlags(command: Command): Command {
  return command
    .option("--manifest <name|file>", "usage (the default), earlybird, petbuddy, justoai, or a .yaml or .json file")
    .option("--engine <name>", "only mongodb, or only postgres", parseEngine)
    .option("--phase <number>", "only the indexes of this phase: 1, 2 or 3", parsePhase);
}

/** Opens the databases of the manifest under the roles for index work, and closes them after `work`. */
export async function withIndexes<T>(
  { services, json }: CommandContext,
  { manifest: nameOrFile = "usage", ...part }: IndexFlags,
  work: (targets: IndexTargets) => Promise<T>,
): Promise<T> {
  const manifest = select(await services.keeper.manifest(nameOrFile), part);
  requireSome(manifest, part);
  if (nameOrFile === "usage") await services.pool(); // checks that the migrations, which create its table, have run
  return services.keeper.with(manifest, (targets) => {
    if (!json) tell(`${nameOrFile}: ${whereText(targets)}`);
    return work(targets);
  });
}

/** The text of a command for the same selection of indexes. */
export function again(verb: string, { manifest, engine, phase }: IndexFlags, ...more: readonly string[]): string {
  const part = [
    ...(manifest === undefined ? [] : ["--manifest", manifest]),
    ...(engine === undefined ? [] : ["--engine", engine]),
    ...(phase === undefined ? [] : ["--phase", String(phase)]),
  ];
  return ["tallyman indexes", verb, ...part, ...more].join(" ");
}

/** @throws UsageError if no index is selected: the command would do nothing and report success */
function requireSome({ project, mongo, postgres }: Manifest, { engine, phase }: IndexFlags): void {
  const indexes = [...Object.values(mongo ?? {}), ...Object.values(postgres ?? {})].flat();
  if (indexes.length > 0) return;
  const where = [engine && `on ${engine}`, phase && `in phase ${phase}`].filter(Boolean).join(" ");
  throw new UsageError(
    `The manifest ${project} declares no index${where && ` ${where}`}. Leave out --engine or --phase.`,
  );
}

/** The databases in use, so that a typo in a connection string shows before anything is created. */
function whereText({ manifest, mongo, databaseUrl }: IndexTargets): string {
  const url = new URL(databaseUrl);
  const places = [
    manifest.mongo && `mongodb ${mongo.client.options.hosts.join(",")}/${mongo.databaseName}`,
    manifest.postgres && `postgres ${url.host}${url.pathname}`,
  ];
  return places.filter(Boolean).join(", ");
}

/** Parses the name of an engine. */
export function parseEngine(name: string): EngineName {
  if (name === "mongodb" || name === "postgres") return name;
  throw new InvalidArgumentError("It must be mongodb or postgres.");
}

function parsePhase(text: string): number {
  if (/^[123]$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be 1, 2 or 3.");
}
