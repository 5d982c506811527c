import { inTransaction, type Pool } from "./pool.ts";
import type pg from "pg";

const MOST_TRIES = 10;

/** Another transaction changed what this one saw before it could write, so it must be repeated. */
export class RaceError extends Error {
  override readonly name = "RaceError";
}

/** Repeats a transaction that loses a race or a deadlock. */
export async function againOnRace<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      const isRace = error instanceof RaceError || (error as { code?: string }).code === "40P01";
      if (!isRace || attempt === MOST_TRIES) throw error;
    }
  }
}

/** A transaction among many of its kind. */
export async function inRacingTransaction<T>(pool: Pool, work: (connection: pg.PoolClient) => Promise<T>): Promise<T> {
  return againOnRace(() => inTransaction(pool, work));
}
