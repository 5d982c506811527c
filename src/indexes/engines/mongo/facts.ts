import type { EngineFacts } from "../engine.ts";

export const MONGO_FACTS: EngineFacts = {
  target: "collection",
  sizePct: 20,
  isAnalyzed: false,
  countsFromCreation: false,
  maintenance: "compact",
};
