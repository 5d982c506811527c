/** Sample data for the manifests, by the name of each. */
import { earlybirdData } from "./earlybird.ts";
import type { SampleData } from "./fill.ts";
import { justoaiData } from "./justoai.ts";
import { petbuddyData } from "./petbuddy.ts";
import { usageData } from "./usage.ts";

export const SAMPLE_DATA: Readonly<Record<string, SampleData>> = {
  usage: usageData,
  earlybird: earlybirdData,
  petbuddy: petbuddyData,
  justoai: justoaiData,
};
