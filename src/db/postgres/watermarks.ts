import type { Stamp } from "../../usage/stamp.ts";
import type { Pool } from "./pool.ts";

/** How far arrivals were followed. */
export interface ArrivalMark {
  /** every event that arrived before was looked at; undefined = nobody ever looked */
  readonly through: Stamp | undefined;
  /** a type other than ObjectId that ids were found to have; undefined = none yet */
  readonly foreignIds: string | undefined;
}

/** Where the refresh stands, for all processes. One exported method a statement. */
export class Watermarks {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  async read(): Promise<ArrivalMark> {
    const { rows } = await this.#pool.query<{ through: Stamp | null; foreignIds: string | null }>(
      `SELECT (SELECT value ->> 'through' FROM usage_meta WHERE name = 'arrivals') AS through,
              (SELECT value ->> 'type' FROM usage_meta WHERE name = 'arrival_ids') AS "foreignIds"`,
    );
    return { through: rows[0]?.through ?? undefined, foreignIds: rows[0]?.foreignIds ?? undefined };
  }

  /** Moves the watermark from where it was read. @returns false when another process has moved it since */
  async move(from: Stamp | undefined, through: Stamp): Promise<boolean> {
    const { rowCount } = await this.#pool.query(
      from === undefined
        ? `INSERT INTO usage_meta (name, value) VALUES ('arrivals', jsonb_build_object('through', $2::text))
           ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value
            WHERE usage_meta.value ->> 'through' IS NOT DISTINCT FROM $1::text`
        : `UPDATE usage_meta SET value = jsonb_build_object('through', $2::text)
            WHERE name = 'arrivals' AND value ->> 'through' = $1::text`,
      [from ?? null, through],
    );
    return rowCount === 1;
  }

  /** Remembers that ids have another type than ObjectId. @returns true for the one process that is the first to say so */
  async rememberForeignIds(type: string): Promise<boolean> {
    const { rowCount } = await this.#pool.query(
      `INSERT INTO usage_meta (name, value) VALUES ('arrival_ids', jsonb_build_object('type', $1::text))
       ON CONFLICT (name) DO NOTHING`,
      [type],
    );
    return rowCount === 1;
  }
}
