import { manifestText, parseManifest } from "../../../src/indexes/manifest/load.ts";
import type { Manifest } from "../../../src/indexes/manifest/manifest.ts";

/** What one statement of a contract may take in tests, in ms: a limit to end one that hangs. */
export const HANG_MS = 600_000;

/** The manifest without what its contracts promise in ms: how long a query takes is the benchmark's to say. */
export function timeless(manifest: Manifest): Manifest {
  return parseManifest(manifestText(manifest).replaceAll(/^ *maxMs: .*\n/gm, ""), "timeless.yaml");
}
