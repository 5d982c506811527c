import type { Command } from "commander";
import { describeManifest, select } from "../../indexes/index.ts";
import { action, createCommand } from "../command.ts";
import { tell } from "../terminal.ts";
import { withIndexFlags, type IndexFlags } from "./options.ts";

/** `indexes show`: prints a manifest as a file, to begin an own one from, and warns of doubtful declarations. */
export function showCommand(): Command {
  const command = createCommand(
    "show",
    "Print a manifest as YAML, or with --json as JSON, and warn of doubtful declarations; asks no server.",
    "tallyman indexes show --manifest petbuddy > petbuddy.yaml",
  );
  return withIndexFlags(command).action(
    action<IndexFlags>(async ({ manifest: nameOrFile = "usage", ...part }, { services, json, answer }) => {
      const manifest = select(await services.keeper.manifest(nameOrFile, "public"), part);
      const described = await describeManifest(manifest);
      for (const warning of described.warnings) tell(`warning: ${warning}`);
      answer(json ? described.json : undefined, described.yaml.trimEnd().split("\n"));
      return undefined;
    }),
  );
}
