/** The verifier of each engine. In a file of its own, so that opening an engine does not load the code for EXPLAIN. */
import type { EngineName } from "../manifest/manifest.ts";
import { MongoVerifier } from "./mongo/verify/verifier.ts";
import type { IndexTargets } from "./open.ts";
import { PostgresVerifier } from "./postgres/verify/verifier.ts";
import type { Verifier } from "./verifier.ts";

/** @param limitMs limit for one statement */
export function verifiersOf(
  { mongo, databaseUrl }: IndexTargets,
  limitMs: number,
): Readonly<Record<EngineName, Verifier>> {
  return { mongodb: new MongoVerifier(mongo, limitMs), postgres: new PostgresVerifier(databaseUrl, limitMs) };
}
