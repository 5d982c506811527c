/** What was discovered of each collection or table, beside the manifest. */
import type { FoundIndex } from "../engines/discovery.ts";
import type { TargetFigures } from "../engines/figures.ts";
import type { EngineName } from "../manifest/manifest.ts";

/** An index that the manifest does not declare. */
export interface LeftOut extends Pick<FoundIndex, "name" | "definition"> {
  readonly why: string;
}

export interface DiscoveredTarget {
  readonly engine: EngineName;
  readonly target: string;
  readonly figures: TargetFigures;
  readonly notes: readonly string[];
  /** by name: what the declaration does not say */
  readonly declared: ReadonlyMap<string, readonly string[]>;
  readonly leftOut: readonly LeftOut[];
}
