import type { Command } from "commander";
import { select } from "../../indexes/manifest/selection.ts";
import { action, createCommand } from "../command.ts";
import { tell, withIndexFlags, type IndexFlags } from "./options.ts";

/** `indexes show`: a manifest as a file, to begin one's own from; and what is doubtful in it. */
export function showCommand(): Command {
  const command = createCommand(
    "show",
    "Print a manifest as YAML, or with --json as JSON, and warn of what is doubtful in it; asks no server.",
    "tallyman indexes show --manifest petbuddy > petbuddy.yaml",
  );
  return withIndexFlags(command).action(
    action<IndexFlags>(async ({ manifest: nameOrFile = "usage", ...part }, { services, json, answer }) => {
      const { manifestText } = await import("../../indexes/manifest/load.ts");
      const { lintManifest } = await import("../../indexes/manifest/lint.ts");
      const { manifestWarnings } = await import("../../indexes/manifest/warnings.ts");
      const manifest = select(await services.keeper.manifest(nameOrFile), part);
      lintManifest(manifest);
      for (const warning of manifestWarnings(manifest)) tell(`warning: ${warning}`);
      answer(json ? JSON.parse(manifestText(manifest, "json")) : undefined, manifestText(manifest));
      return undefined;
    }),
  );
}
