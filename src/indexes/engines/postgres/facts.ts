import type { EngineFacts } from "../engine.ts";

export const POSTGRES_FACTS: EngineFacts = {
  target: "table",
  sizePct: 10,
  isAnalyzed: true,
  countsFromCreation: true,
  maintenance: "reindex",
};
