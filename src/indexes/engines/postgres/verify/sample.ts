/** Values for a contract's `$n` from one row of its table, as text that the server reads by each parameter's type. */
import pg from "pg";
import type { Param, SampledParam } from "../../../manifest/manifest.ts";
import { isSample } from "../../../contract/contracts.ts";
import type { Query } from "./reader.ts";
import type { PostgresTarget } from "./target.ts";
import { shiftInterval } from "../../../contract/shift.ts";

export interface Values {
  readonly values: readonly unknown[];
  /** Not invented for want of a row. */
  readonly isReal: boolean;
}

/** Rows looked at for one without a null. */
const TRIES = 20;

/**
 * @param types of the parameters, as the server inferred them
 * @param near the predicate of the index: a row outside of it would ask for what the index is not for
 */
export async function valuesFor(
  query: Query,
  target: PostgresTarget,
  params: readonly Param[],
  types: readonly string[],
  near: string | null,
): Promise<Values> {
  const samples = params.filter(isSample);
  if (samples.length === 0) return { values: params.map(asText), isReal: true };
  const row = await draw(query, target, samples, near);
  let at = 0;
  const values = params.map((param, n) => {
    if (!isSample(param)) return asText(param);
    const value = row?.[at];
    at += 1;
    return value ?? invented(types[n] ?? "text");
  });
  return { values, isReal: row !== undefined };
}

/** The first of a few random rows that has everything; undefined if none does. */
async function draw(
  query: Query,
  target: PostgresTarget,
  samples: readonly SampledParam[],
  near: string | null,
): Promise<string[] | undefined> {
  if (target.size === "empty") return undefined;
  const shifts: string[] = [];
  const drawn = samples.map(({ sample, shift }) => {
    const type = target.columns.get(sample);
    const value = type === undefined ? sample : pg.escapeIdentifier(sample);
    if (shift === undefined) return `(${value})::text`;
    shifts.push(shiftInterval(shift) ?? shift);
    const shifted = `(${value}) + $${shifts.length}::interval`;
    return type === undefined ? `(${shifted})::text` : `(${shifted})::${type}::text`;
  });
  const table = `${pg.escapeIdentifier(target.schema)}.${pg.escapeIdentifier(target.table)}`;
  // Not null where that costs nothing to ask; of an expression it shows afterwards.
  const plain = samples.filter(({ sample }) => target.columns.has(sample));
  const conditions = plain.map(({ sample }) => `${pg.escapeIdentifier(sample)} IS NOT NULL`);
  const few = `TABLESAMPLE SYSTEM (${target.samplePercent ?? 100})`;
  const attempts: [string, string[]][] = [
    ...(near === null ? [] : [["", [...conditions, near]] as [string, string[]]]),
    ...(target.samplePercent === undefined ? [] : [[few, conditions] as [string, string[]]]),
    ["", conditions],
  ];
  for (const [part, where] of attempts) {
    // The limit within keeps a large table from being sorted; the expressions are computed for the few that are left.
    const rows = await query<{ drawn: (string | null)[] }>(
      `SELECT ARRAY[${drawn.join(", ")}] AS drawn
         FROM (SELECT * FROM (SELECT * FROM ${table} ${part} ${where.length > 0 ? `WHERE ${where.join(" AND ")}` : ""}
                               LIMIT 10000) AS part ORDER BY random() LIMIT ${TRIES}) AS few`,
      shifts,
    );
    const found = rows.map((row) => row.drawn).find((row): row is string[] => row.every((value) => value !== null));
    if (found) return found;
  }
  return undefined;
}

/** The driver writes lists as arrays of the server; everything else goes as text and is read by the parameter's type. */
function asText(param: Param): unknown {
  return typeof param === "object" ? param : String(param);
}

/** A value of that type, for an empty table: with null for it the planner would see that nothing can match. */
function invented(type: string): unknown {
  if (type.endsWith("[]")) return "{}";
  if (/^(date|timestamp)/.test(type)) return "2000-01-01";
  if (/^time/.test(type)) return "00:00";
  if (/^(smallint|integer|bigint|numeric|real|double|oid|money)/.test(type)) return "1";
  if (/^json/.test(type)) return "{}";
  const others: Readonly<Record<string, string>> = {
    boolean: "true",
    uuid: "00000000-0000-4000-8000-000000000000",
    interval: "1 day",
    inet: "127.0.0.1",
    bytea: "\\x00",
  };
  return others[type] ?? "x";
}
