import { inTransaction, type Pool } from "./pool.ts";
import type pg from "pg";

const MOST_TRIES = 10;

/** Another transaction changed what this one saw before it could write, so it must be repeated. */
export class RaceError extends Error {
  override readonly name = "RaceError";
}

/** A deadlock, and the user's own limit on waiting for a lock. */
const LOST_RACES: ReadonlySet<unknown> = new Set(["40P01", "55P03"]);

/** Repeats a transaction that loses a race or a deadlock. */
export async function againOnRace<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      const isRace = error instanceof RaceError || LOST_RACES.has((error as { code?: unknown }).code);
      if (!isRace || attempt === MOST_TRIES) throw error;
    }
  }
}

/** A transaction among many of its kind. */
export async function inRacingTransaction<T>(pool: Pool, work: (connection: pg.PoolClient) => Promise<T>): Promise<T> {
  return againOnRace(() => inTransaction(pool, work));
}
