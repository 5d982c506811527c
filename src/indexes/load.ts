/** Manifests from files. */
import { UsageError } from "../errors.ts";
import type { Manifest } from "./manifest.ts";

/** @throws UsageError with file:line:column for a file that is no manifest */
export async function loadManifest(file: string): Promise<Manifest> {
  await Promise.resolve();
  throw new UsageError(`${file}: manifests cannot be read from files yet`);
}
