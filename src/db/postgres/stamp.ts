import type { Stamp } from "../../usage/stamp.ts";
import type { Connection } from "./pool.ts";

/** A timestamptz expression as a Stamp: UTC text of fixed width with microseconds. */
export function stampSql(expression: string): string {
  return `to_char(${expression} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
}

/** The clock of the PostgreSQL primary: the one clock that orders reads. */
export async function readStamp(connection: Connection): Promise<Stamp> {
  const { rows } = await connection.query<{ stamp: Stamp }>(`SELECT ${stampSql("clock_timestamp()")} AS stamp`);
  return rows[0]?.stamp as Stamp;
}
