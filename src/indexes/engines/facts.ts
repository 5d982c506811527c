/** The constant properties of each engine. Pure. */
import type { EngineFacts } from "./engine.ts";
import type { EngineName } from "../manifest/manifest.ts";
import { MONGO_FACTS } from "./mongo/facts.ts";
import { POSTGRES_FACTS } from "./postgres/facts.ts";

export const FACTS: Readonly<Record<EngineName, EngineFacts>> = { mongodb: MONGO_FACTS, postgres: POSTGRES_FACTS };
