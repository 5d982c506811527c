import type { Document } from "mongodb";

/** How far a majority read sees, in milliseconds since the epoch, by the clock of the primary. */
export interface MajorityPoint {
  /** the last write that a majority of the members has; later ones no majority read sees yet */
  readonly through: number;
  /** the last write of all */
  readonly lastWrite: number;
  /** the time of the answer; undefined where the server does not say */
  readonly now?: number;
}

/**
 * The majority point in the answer to `hello` of a member of a replica set (manual, "hello": lastWrite, localTime). In a set
 * with an arbiter and a member down it stands still although writes go on. undefined of a mongos, a standalone and FerretDB.
 */
export function majorityPoint(hello: Document): MajorityPoint | undefined {
  const { majorityWriteDate, lastWriteDate } = (hello["lastWrite"] ?? {}) as Document;
  if (!(majorityWriteDate instanceof Date)) return undefined;
  const through = majorityWriteDate.getTime();
  const { localTime } = hello;
  return {
    through,
    lastWrite: lastWriteDate instanceof Date ? lastWriteDate.getTime() : through,
    ...(localTime instanceof Date ? { now: localTime.getTime() } : {}),
  };
}
