import { serverCode } from "../../../mongo/errors.ts";

/** WriteConcernTimeout, called WriteConcernFailed in some versions. */
const NOT_CONFIRMED = 64;

/**
 * Work on indexes and the ledger waits for the majority of the members, but not for ever: in a set that has lost a member it
 * may never answer. The time counts from the end of the work on the primary, so it limits no build. In milliseconds.
 */
export const MAJORITY = { w: "majority", wtimeout: 60_000 } as const;

/**
 * Runs a command that waits for the majority. The server says `ok: 1` with a `writeConcernError` where the majority did not
 * confirm in time, which the driver throws with that error's code. The work is done on the primary then, and lost only if
 * another member is elected that does not have it.
 *
 * @param what has been done, as a clause
 */
export async function confirmed<T>(what: string, command: () => Promise<T>): Promise<T> {
  try {
    return await command();
  } catch (error) {
    if (serverCode(error) !== NOT_CONFIRMED) throw error;
    throw new Error(
      `${what} on the primary, but the majority of the members did not confirm that within ${MAJORITY.wtimeout / 1000} s. ` +
        "See with rs.status() which member is down or behind, then run the same command again",
      { cause: error },
    );
  }
}
