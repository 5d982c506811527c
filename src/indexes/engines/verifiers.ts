/** The verifiers of all engines. Apart from the engines, which are opened without what explains queries. */
import type { EngineName } from "../manifest/manifest.ts";
import { MongoVerifier } from "./mongo/verify/verifier.ts";
import type { IndexTargets } from "./open.ts";
import { PostgresVerifier } from "./postgres/verify/verifier.ts";
import type { Verifier } from "./verifier.ts";

/** @param limitMs what one statement may take */
export function verifiersOf(
  { mongo, databaseUrl }: IndexTargets,
  limitMs: number,
): Readonly<Record<EngineName, Verifier>> {
  return { mongodb: new MongoVerifier(mongo, limitMs), postgres: new PostgresVerifier(databaseUrl, limitMs) };
}
