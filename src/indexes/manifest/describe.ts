/** A manifest for a person: as the text of a file, to begin an own one from, with warnings. */
import { manifestText } from "./load.ts";
import type { Manifest } from "./manifest.ts";

export interface ManifestDescription {
  readonly yaml: string;
  /** the content of a .json file, parsed */
  readonly json: unknown;
  /** one line each; the manifest is valid all the same */
  readonly warnings: readonly string[];
}

export function describeManifest(manifest: Manifest, warnings: readonly string[]): ManifestDescription {
  return { yaml: manifestText(manifest), json: JSON.parse(manifestText(manifest, "json")), warnings };
}
