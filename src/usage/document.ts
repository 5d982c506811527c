import { createHash } from "node:crypto";
import { byDimension, DIMENSION_NAMES, DIMENSIONS, type DimensionName } from "./dimensions.ts";
import { MEASURES, measureText } from "./measures.ts";
import { foldSmallest, joinKeys, rankBySize, type FoldedKey, type Rollup, type RollupRow } from "./rollup.ts";

/** Limits of one row of the cache. */
export interface DocumentLimits {
  /** keys in one folded document (`MAX_KEYS`) */
  readonly maxKeys: number;
  /** rows of the raw document (`MAX_RAW_ROWS`) */
  readonly maxRawRows: number;
  /** UTF-8 bytes of one document */
  readonly maxBytes: number;
}

/** 16 MiB a document, so that readers can bound their memory. */
export const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024;

/** The stored form of a rollup: JSON text for each document, and the hash that proves the row. */
export interface Documents {
  readonly raw: string;
  readonly folded: Readonly<Record<DimensionName, string>>;
  /** SHA-256, 32 bytes */
  readonly contentHash: Buffer;
}

/** The version inside `raw_data` and of the hash's input. */
const FORMAT_VERSION = 1;

const RAW_COLUMNS = JSON.stringify([...DIMENSIONS, ...MEASURES].map(({ name }) => name));

/**
 * The hash covers what the row stores, not its JSON text, which JSONB reorders: the format version, the totals, the
 * malformed count, each folded document and the raw rows (or how many were omitted), keys sorted by UTF-8 bytes,
 * numbers canonical. NUL separates, as no key can hold it; the newline ends a record, and the counts keep records apart.
 */
export function toDocuments(rollup: Rollup, limits: DocumentLimits): Documents {
  const hash = createHash("sha256");
  hash.update(
    `${FORMAT_VERSION}\0${MEASURES.map(({ name }) => measureText(rollup.totals, name)).join("\0")}\0${rollup.malformed}\n`,
  );
  const folded = byDimension((name) => {
    const document = foldedDocument(rollup.folded[name], limits);
    hash.update(`${name}\0${document.count}\n${document.record}`);
    return document.json;
  });
  const raw = rawDocument(rollup.rows, limits);
  hash.update(raw.record);
  return { raw: raw.json, folded, contentHash: hash.digest() };
}

interface Text {
  readonly json: string;
  /** the input of the hash */
  readonly record: string;
}

function foldedDocument(keys: readonly FoldedKey[], limits: DocumentLimits): Text & { count: number } {
  const bounded = keys.length > limits.maxKeys ? foldSmallest(keys, limits.maxKeys) : keys;
  const document = writeFolded(bounded);
  if (Buffer.byteLength(document.json) <= limits.maxBytes) return { ...document, count: bounded.length };
  const fitting = foldSmallest(keys, fittingKeys(bounded, limits.maxBytes));
  return { ...writeFolded(fitting), count: fitting.length };
}

/** The measures, each with what stands before it in a folded entry. */
const MEMBERS = MEASURES.map(({ name, json }, index) => ({
  name,
  label: `${index === 0 ? "{" : ","}${JSON.stringify(json)}:`,
}));

function writeFolded(keys: readonly FoldedKey[]): Text {
  const json: string[] = [];
  let record = "";
  for (const { key, sums } of keys) {
    let member = `${JSON.stringify(key)}:`;
    let fields = key;
    for (const { name, label } of MEMBERS) {
      const text = measureText(sums, name);
      member += label + text;
      fields += `\0${text}`;
    }
    json.push(`${member}}`);
    record += `${fields}\n`;
  }
  return { json: `{${json.join(",")}}`, record };
}

/** How many of the largest keys fit into `maxBytes`, including the entry of the remainder. */
function fittingKeys(keys: readonly FoldedKey[], maxBytes: number): number {
  let bytes = 1_024; // braces, and the longest possible entry of the remainder
  let count = 0;
  for (const key of rankBySize(keys)) {
    bytes += Buffer.byteLength(writeFolded([key]).json);
    if (bytes > maxBytes) break;
    count++;
  }
  return count + 1;
}

function rawDocument(rows: readonly RollupRow[], limits: DocumentLimits): Text {
  const head = `{"version":${FORMAT_VERSION},"columns":${RAW_COLUMNS},"rows":`;
  if (rows.length <= limits.maxRawRows) {
    const json: string[] = [];
    let record = `raw\0${rows.length}\n`;
    const quoted = new Map<string, string>(); // each key occurs in many rows
    const quote = (key: string) => {
      const known = quoted.get(key) ?? JSON.stringify(key);
      quoted.set(key, known);
      return known;
    };
    for (const { keys, sums } of rows) {
      let cells = "";
      for (const name of DIMENSION_NAMES) cells += (cells === "" ? "[" : ",") + quote(keys[name]);
      let fields = joinKeys(keys);
      for (const { name } of MEASURES) {
        const text = measureText(sums, name);
        cells += `,${text}`;
        fields += `\0${text}`;
      }
      json.push(`${cells}]`);
      record += `${fields}\n`;
    }
    const text = `${head}[${json.join(",")}]}`;
    if (Buffer.byteLength(text) <= limits.maxBytes) return { json: text, record };
  }
  return { json: `${head}null,"omitted":${rows.length}}`, record: `omitted\0${rows.length}\n` };
}

/** Approximate memory of a row's documents, in characters. */
export function sizeOf({ raw, folded }: Documents): number {
  return Object.values(folded).reduce((sum, text) => sum + text.length, raw.length);
}
