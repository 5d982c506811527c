/** The statements for PostgreSQL's indexes. Names are always quoted, since some are camelCase. */
import { createHash } from "node:crypto";
import pg from "pg";
import type { PostgresIndex } from "../../manifest/manifest.ts";
import { NAME_BYTES } from "../../manifest/reserved.ts";
import { parenthesised, parseOpclass } from "../../manifest/sql-text.ts";

export interface Table {
  readonly schema: string;
  readonly table: string;
  readonly quoted: string;
}

export function tableOf(target: string): Table {
  const dot = target.indexOf(".");
  const [schema, table] = [target.slice(0, dot), target.slice(dot + 1)];
  return { schema, table, quoted: qualified(schema, table) };
}

/** A quoted name with its schema. */
export function qualified(schema: string, name: string): string {
  return `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`;
}

/** A definition without names: `tail` is everything after the table's name. */
export interface Definition {
  readonly unique: boolean;
  readonly tail: string;
}

/** The definition in one text, as the ledger keeps it. */
export function definitionText({ unique, tail }: Definition): string {
  return (unique ? "UNIQUE " : "") + tail;
}

export function parseDefinition(text: string): Definition {
  return text.startsWith("UNIQUE ")
    ? { unique: true, tail: text.slice("UNIQUE ".length) }
    : { unique: false, tail: text };
}

export function declaredDefinition(index: PostgresIndex): Definition {
  return { unique: index.unique === true, tail: definitionTail(index) };
}

/** The part of a definition after the table's name: `USING btree (...) WHERE ...`. */
export function definitionTail(index: PostgresIndex): string {
  const columns = index.columns.map((column) => {
    if (typeof column === "string") return pg.escapeIdentifier(column);
    const { collate, opclass, desc, nulls } = column;
    return [
      column.col === undefined ? parenthesised(column.expr) : pg.escapeIdentifier(column.col),
      collate === undefined ? "" : `COLLATE ${pg.escapeIdentifier(collate)}`,
      opclass === undefined ? "" : opclassText(opclass),
      desc === true ? "DESC" : "",
      nulls === undefined ? "" : `NULLS ${nulls.toUpperCase()}`,
    ]
      .filter((part) => part !== "")
      .join(" ");
  });
  const options = Object.entries(index.with ?? {}).map(([name, value]) => parameterText(name, value));
  return [
    `USING ${methodText(index.method ?? "btree")} (${columns.join(", ")})`,
    index.include === undefined ? "" : `INCLUDE (${index.include.map((name) => pg.escapeIdentifier(name)).join(", ")})`,
    index.nullsNotDistinct === true ? "NULLS NOT DISTINCT" : "",
    options.length === 0 ? "" : `WITH (${options.join(", ")})`,
    index.where === undefined ? "" : `WHERE ${parenthesised(index.where)}`,
  ]
    .filter((part) => part !== "")
    .join(" ");
}

/** Quoted only where it has to be, as the server prints it. */
function methodText(method: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(method) ? method : pg.escapeIdentifier(method);
}

/** @throws Error for what is no operator class; lintManifest refuses it before */
function opclassText(text: string): string {
  const opclass = parseOpclass(text);
  if (!opclass) throw new Error(`"${text}" is no operator class`);
  const parameters = opclass.parameters.map(([name, value]) =>
    parameterText(name, /^-?\d/.test(value) ? Number(value) : value.replace(/^'(.*)'$/s, "$1")),
  );
  return opclass.name + (parameters.length === 0 ? "" : ` (${parameters.join(", ")})`);
}

/** The name in lower case, as the server reads one without quotes; any value but a number may be given as text. */
function parameterText(name: string, value: string | number): string {
  return `${pg.escapeIdentifier(name.toLowerCase())} = ${typeof value === "number" ? value : pg.escapeLiteral(value)}`;
}

/**
 * The statement that builds an index. Never IF NOT EXISTS, which takes an invalid index or even a table for success.
 * @param how `only`: on a partitioned table, without its partitions
 */
export function createStatement(
  target: string,
  name: string,
  { unique, tail }: Definition,
  how: "concurrently" | "only" = "concurrently",
): string {
  const what = (unique ? "UNIQUE INDEX" : "INDEX") + (how === "only" ? "" : " CONCURRENTLY");
  return `CREATE ${what} ${pg.escapeIdentifier(name)} ON ${how === "only" ? "ONLY " : ""}${tableOf(target).quoted} ${tail}`;
}

/** @param how `whole`: of a partitioned table, with the indexes of all partitions */
export function dropStatement(target: string, name: string, how: "concurrently" | "whole" = "concurrently"): string {
  const { schema } = tableOf(target);
  return `DROP INDEX ${how === "whole" ? "" : "CONCURRENTLY "}IF EXISTS ${qualified(schema, name)}`;
}

/**
 * The temporary name of an index during a replacement. PostgreSQL would silently cut a name over 63 bytes, and two long
 * names may begin alike, so a name that is cut here ends in a digest.
 */
export function besideName(name: string, suffix: string): string {
  const isLong = Buffer.byteLength(name + suffix) > NAME_BYTES;
  return fitted(name, isLong ? `_${digestOf(name)}${suffix}` : suffix);
}

/** `stem` and `ending` as one name of 63 bytes at most; the stem is cut. */
export function fitted(stem: string, ending: string): string {
  const letters = [...stem];
  while (Buffer.byteLength(letters.join("") + ending) > NAME_BYTES) letters.pop();
  return letters.join("") + ending;
}

/** Six hexadecimal digits that distinguish two names or definitions. */
export function digestOf(...texts: readonly string[]): string {
  return createHash("sha256").update(texts.join("\0")).digest("hex").slice(0, 6);
}

/** The ending of the names that REINDEX CONCURRENTLY uses, with a number if the name is taken. */
export const REBUILD_ENDING = /_cc(?:new|old)\d*$/;
