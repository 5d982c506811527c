import type { Stamp } from "../../usage/stamp.ts";
import type { Day } from "../../usage/day.ts";
import { moveMark, readMeta, replaceMeta, writeFirst } from "./meta.ts";
import type { Connection, Pool } from "./pool.ts";

/** How far arrivals were followed. */
export interface ArrivalMark {
  /** every event that arrived before was looked at; undefined = nobody ever looked */
  readonly through: Stamp | undefined;
  /** a type other than ObjectId that ids were found to have; undefined = none yet */
  readonly foreignIds: string | undefined;
}

/** Where the refresh stands, for all processes. */
export class Watermarks {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  async read(): Promise<ArrivalMark> {
    const arrivals = await readMeta(this.#pool, "arrivals");
    const foreignIds = await readMeta(this.#pool, "arrival_ids");
    return { through: arrivals?.through, foreignIds: foreignIds?.type };
  }

  /** Moves the watermark from where it was read. @returns false when another process has moved it since */
  async move(from: Stamp | undefined, through: Stamp): Promise<boolean> {
    if (from === undefined) return writeFirst(this.#pool, "arrivals", { through });
    return replaceMeta(this.#pool, "arrivals", { through: from }, { through });
  }

  /** Remembers that ids have another type than ObjectId. @returns true for the one process that is the first to say so */
  async rememberForeignIds(type: string): Promise<boolean> {
    return writeFirst(this.#pool, "arrival_ids", { type });
  }
}

/** The last day through which a nightly rebuild has ended; undefined = none ever did. */
export async function nightlyThrough(connection: Connection): Promise<Day | undefined> {
  return (await readMeta(connection, "nightly"))?.through;
}

/** Moves that day forward, never back. */
export async function moveNightly(connection: Connection, through: Day): Promise<void> {
  await connection.query(moveMark("nightly", "SELECT $1::date AS through"), [through]);
}
