/**
 * Draws the values of a contract's parameters from one row of its table, as text that the server casts to their types.
 */
import pg from "pg";
import type { Param, SampledParam } from "../../../manifest/manifest.ts";
import { parenthesised } from "../../../manifest/sql-text.ts";
import { isSample } from "../../../contract/contracts.ts";
import type { Query } from "./reader.ts";
import type { PostgresTarget } from "./target.ts";
import { shiftInterval } from "../../../contract/shift.ts";

export interface Values {
  readonly values: readonly unknown[];
  /** The values are not invented. */
  readonly isReal: boolean;
}

/** Rows drawn to find one without a null. */
const TRIES = 20;

/**
 * @param types of the parameters, as the server inferred them
 * @param near the predicate of the index: values from a row outside it would make a query that the index is not for
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

/** The samples from the first of a few random rows that has no null in them; undefined if no row does. */
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
    const value = type === undefined ? parenthesised(sample) : pg.escapeIdentifier(sample);
    if (shift === undefined) return `${value}::text`;
    shifts.push(shiftInterval(shift) ?? shift);
    const shifted = `${value} + $${shifts.length}::interval`;
    return type === undefined ? `(${shifted})::text` : `(${shifted})::${type}::text`;
  });
  const table = `${pg.escapeIdentifier(target.schema)}.${pg.escapeIdentifier(target.table)}`;
  // IS NOT NULL for plain columns, which is cheap; expressions are checked in the result.
  const plain = samples.filter(({ sample }) => target.columns.has(sample));
  const conditions = plain.map(({ sample }) => `${pg.escapeIdentifier(sample)} IS NOT NULL`);
  const few = `TABLESAMPLE SYSTEM (${target.samplePercent ?? 100})`;
  const attempts: [string, string[]][] = [
    ...(near === null ? [] : [["", [...conditions, near]] as [string, string[]]]),
    ...(target.samplePercent === undefined ? [] : [[few, conditions] as [string, string[]]]),
    ["", conditions],
  ];
  for (const [part, where] of attempts) {
    // The inner LIMIT keeps a large table from being sorted; expressions are computed for the TRIES rows only.
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

/** The driver sends lists as PostgreSQL arrays; every other value goes as text and is cast to the parameter's type. */
function asText(param: Param): unknown {
  return typeof param === "object" ? param : String(param);
}

/** A value of that type, for an empty table. Not null: the planner would see that nothing can match. */
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
