import { InvalidArgumentError, type Command } from "commander";
import type { EngineName } from "../../indexes/engine.ts";
import { select, type IndexTargets } from "../../indexes/targets.ts";
import type { CommandContext } from "../command.ts";

/** The flags that every verb of `indexes` has. */
export interface IndexFlags {
  readonly manifest?: string;
  readonly engine?: EngineName;
  readonly phase?: 1 | 2 | 3;
}

/** Adds the flags that say which indexes are meant. */
export function withIndexFlags(command: Command): Command {
  return command
    .option("--manifest <name|file>", "a manifest of Tallyman's own, or a .yaml or .json file (default: usage)")
    .option("--engine <name>", "only mongodb, or only postgres", parseEngine)
    .option("--phase <number>", "only the indexes of this phase: 1, 2 or 3", parsePhase);
}

/** Opens both databases under the roles for index work for as long as `work` goes on. */
export async function withIndexes<T>(
  { services }: CommandContext,
  { manifest: nameOrFile = "usage", ...part }: IndexFlags,
  work: (targets: IndexTargets) => Promise<T>,
): Promise<T> {
  const manifest = await services.keeper.manifest(nameOrFile);
  if (nameOrFile === "usage") await services.pool(); // its table is of a migration
  return services.keeper.with(select(manifest, part), work);
}

/** Tells of work that goes on, on standard error. */
export function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}

function parseEngine(name: string): EngineName {
  if (name === "mongodb" || name === "postgres") return name;
  throw new InvalidArgumentError("It must be mongodb or postgres.");
}

function parsePhase(text: string): number {
  if (/^[123]$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be 1, 2 or 3.");
}
