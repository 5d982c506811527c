/** The manifests that come with Tallyman, by name. */
import type { Manifest } from "../src/indexes/index.ts";
import { earlybird } from "./earlybird.ts";
import { justoai } from "./justoai.ts";
import { petbuddy } from "./petbuddy.ts";
import { usageManifest, type UsageNames } from "./usage.ts";

/** By the name that `--manifest` takes; `names` are this installation's collection and field names. */
export const MANIFESTS: Readonly<Record<string, (names: UsageNames) => Manifest>> = {
  usage: usageManifest,
  earlybird: () => earlybird,
  petbuddy: () => petbuddy,
  justoai: () => justoai,
};
