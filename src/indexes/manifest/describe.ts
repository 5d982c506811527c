/** A manifest for a person: as the text of a file, to begin an own one from, with warnings. */
import { lintManifest } from "./lint.ts";
import { manifestText } from "./load.ts";
import type { Manifest } from "./manifest.ts";
import { manifestWarnings } from "./warnings.ts";

export interface ManifestDescription {
  readonly yaml: string;
  /** the content of a .json file, parsed */
  readonly json: unknown;
  /** one line each; the manifest is valid all the same */
  readonly warnings: readonly string[];
}

/** @throws UsageError naming each faulty index */
export function describeManifest(manifest: Manifest): ManifestDescription {
  lintManifest(manifest);
  return {
    yaml: manifestText(manifest),
    json: JSON.parse(manifestText(manifest, "json")),
    warnings: manifestWarnings(manifest),
  };
}
