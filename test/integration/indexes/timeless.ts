import { manifestText, parseManifest } from "../../../src/indexes/manifest/load.ts";
import type { Manifest } from "../../../src/indexes/manifest/manifest.ts";

/** Time limit of one statement of a contract in tests, in ms; it only ends a hang. */
export const HANG_MS = 600_000;

/** The manifest without the milliseconds that its contracts promise: only the benchmark measures time. */
export function timeless(manifest: Manifest): Manifest {
  return parseManifest(manifestText(manifest).replaceAll(/^ *maxMs: .*\n/gm, ""), "timeless.yaml");
}
