/** A manifest as a person sees it: as a file to begin one's own from, with what is doubtful in it. */
import { lintManifest } from "./lint.ts";
import { manifestText } from "./load.ts";
import type { Manifest } from "./manifest.ts";
import { manifestWarnings } from "./warnings.ts";

export interface ManifestDescription {
  readonly yaml: string;
  /** as a .json file would hold it, parsed */
  readonly json: unknown;
  /** a line for each doubtful place; none makes the manifest wrong */
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
