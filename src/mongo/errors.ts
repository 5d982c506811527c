import { MongoServerError } from "mongodb";

/**
 * MaxTimeMSExpired, and what a mongos answers whose shard is late: NetworkInterfaceExceededTimeLimit, ExceededTimeLimit,
 * PooledConnectionAcquisitionExceededTimeLimit (MongoDB's error_codes.yml, category ExceededTimeLimitError).
 */
const OUT_OF_TIME: ReadonlySet<number> = new Set([50, 202, 262, 407]);

/**
 * BSONObjectTooLarge; ExceededMemoryLimit, raised where `$push` holds more than 100 MB;
 * QueryExceededMemoryLimitNoDiskUseAllowed, of tiers that ignore allowDiskUse; 13548, a BSON buffer past its limit; and
 * DocumentDB's own code for a document past 16 MB.
 */
const TOO_LARGE: ReadonlySet<number> = new Set([10_334, 146, 292, 13_548, 4_031_700]);

/** Did the server give up because its time was up? */
export const isOutOfTime = (error: unknown): boolean => hasCode(error, OUT_OF_TIME);

/** Did the server give up because an answer, or what it needs for it, is too large? Less work at a time is the cure. */
export const isTooLarge = (error: unknown): boolean => hasCode(error, TOO_LARGE);

/** @returns the code of an error of a server; undefined for any other error */
export function serverCode(error: unknown): number | undefined {
  return error instanceof MongoServerError ? Number(error.code) : undefined;
}

function hasCode(error: unknown, codes: ReadonlySet<number>): boolean {
  const code = serverCode(error);
  return code !== undefined && codes.has(code);
}
