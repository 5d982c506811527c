import { canonicalDecimal, Decimal } from "./exact-number.ts";
import { JsonNumber, parseLossless, type Json } from "./lossless-json.ts";
import type { Measures, OracleDay } from "./oracle.ts";

/** A row of daily_usage_cache, everything as text: `date::text`, `raw_data::text`, `total_cost::text` and so on. */
export interface StoredRow {
  tenant_id: string;
  date: string;
  raw_data: string;
  aggregated_by_user: string;
  aggregated_by_model: string;
  aggregated_by_provider: string;
  total_requests: string;
  total_tokens: string;
  prompt_tokens: string;
  completion_tokens: string;
  total_cost: string;
  source_events: string;
  malformed_events: string;
}

const NAMES = ["requests", "tokens", "prompt", "completion", "cost"] as const;
type Name = (typeof NAMES)[number];
type Texts = Record<Name, string>;

const COLUMNS: Texts = {
  requests: "total_requests",
  tokens: "total_tokens",
  prompt: "prompt_tokens",
  completion: "completion_tokens",
  cost: "total_cost",
};
const MEMBERS: Texts = {
  requests: "totalRequests",
  tokens: "totalTokens",
  prompt: "promptTokens",
  completion: "completionTokens",
  cost: "totalCost",
};
const RAW_COLUMNS = ["user", "model", "provider", ...NAMES];

const CANONICAL = /^(?!-0$)-?(?:0|[1-9]\d*)(?:\.\d*[1-9])?$/;
const CANONICAL_COUNT = /^(?:0|-?[1-9]\d*)$/;

/** JSON text of a key or value, cut: keys may have 10 kB. */
function show(value: unknown): string {
  if (value === undefined) return "missing";
  const text = JSON.stringify(value, (_, inner: unknown) =>
    inner instanceof JsonNumber ? `number ${inner.text}` : inner instanceof Map ? [...inner] : inner,
  );
  return text.length <= 80 ? text : `${text.slice(0, 60)}... (${text.length} characters)`;
}

/** What a row says, and what is wrong with how it says it. */
class RowReader {
  readonly found: string[] = [];

  json(where: string, text: string): Json {
    try {
      return parseLossless(text);
    } catch (error) {
      this.found.push(`${where}: no JSON: ${(error as Error).message}`);
      return null;
    }
  }

  members(where: string, value: Json | undefined, expected: readonly string[]): Map<string, Json> {
    if (!(value instanceof Map)) {
      this.found.push(`${where}: is ${show(value)}, expected an object`);
      return new Map();
    }
    const missing = expected.filter((name) => !value.has(name));
    const extra = [...value.keys()].filter((name) => !expected.includes(name));
    if (missing.length > 0) this.found.push(`${where}: lacks ${missing.join(", ")}`);
    if (extra.length > 0) this.found.push(`${where}: unexpected ${show(extra)}`);
    return value;
  }

  number(where: string, name: Name, value: Json | undefined): string {
    const canonical = name === "cost" ? CANONICAL : CANONICAL_COUNT;
    if (value instanceof JsonNumber && canonical.test(value.text)) return value.text;
    this.found.push(`${where}.${name}: is ${show(value)}, expected a canonical JSON number`);
    return value instanceof JsonNumber ? canonicalDecimal(value.text) : "NaN";
  }

  texts(where: string, get: (name: Name) => Json | undefined): Texts {
    const texts = NAMES.map((name) => [name, this.number(where, name, get(name))]);
    return Object.fromEntries(texts) as Texts;
  }

  dimension(where: string, text: string): Map<string, Texts> {
    const value = this.json(where, text);
    if (!(value instanceof Map)) {
      this.found.push(`${where}: is ${show(value)}, expected an object`);
      return new Map();
    }
    const read = new Map<string, Texts>();
    for (const [key, entry] of value) {
      const here = `${where}[${show(key)}]`;
      const members = this.members(here, entry, Object.values(MEMBERS));
      read.set(
        key,
        this.texts(here, (name) => members.get(MEMBERS[name])),
      );
    }
    return read;
  }

  /** By JSON.stringify([user, model, provider]); the number of omitted rows instead where the row holds none. */
  raw(text: string): Map<string, Texts> | string {
    const value = this.json("raw_data", text);
    const omitted = value instanceof Map && value.get("rows") === null;
    const names = ["version", "columns", "rows", ...(omitted ? ["omitted"] : [])];
    const members = this.members("raw_data", value, names);
    const [version, columns, rows, count] = ["version", "columns", "rows", "omitted"].map((name) => members.get(name));
    if (!(version instanceof JsonNumber && version.text === "1")) {
      this.found.push(`raw_data.version: is ${show(version)}, expected 1`);
    }
    if (JSON.stringify(columns) !== JSON.stringify(RAW_COLUMNS)) {
      this.found.push(`raw_data.columns: is ${show(columns)}`);
    }
    if (omitted) return count instanceof JsonNumber ? count.text : show(count);

    const read = new Map<string, Texts>();
    if (!Array.isArray(rows)) {
      this.found.push(`raw_data.rows: is ${show(rows)}, expected an array`);
      return read;
    }
    for (const row of rows) {
      const cells = Array.isArray(row) ? row : [];
      const keys = cells.slice(0, 3);
      const here = `raw_data${show(keys)}`;
      if (cells.length !== RAW_COLUMNS.length || !keys.every((key) => typeof key === "string")) {
        this.found.push(`raw_data.rows: ${show(row)} is not ${RAW_COLUMNS.join(", ")}`);
        continue;
      }
      const name = JSON.stringify(keys);
      if (read.has(name)) this.found.push(`${here}: twice`);
      read.set(
        name,
        this.texts(here, (measure) => cells[3 + NAMES.indexOf(measure)]),
      );
    }
    return read;
  }
}

function* compare(where: string, stored: Texts, expected: Measures | Texts): Generator<string> {
  for (const name of NAMES) {
    const wanted = String(expected[name]);
    if (stored[name] !== wanted) yield `${where}.${name}: stored ${stored[name]}, expected ${wanted}`;
  }
}

function* compareKeys(where: string, stored: Map<string, Texts>, expected: Map<string, Measures>): Generator<string> {
  for (const key of stored.keys()) if (!expected.has(key)) yield `${where}: unexpected key ${show(key)}`;
  for (const [key, measures] of expected) {
    const texts = stored.get(key);
    if (texts) yield* compare(`${where}[${show(key)}]`, texts, measures);
    else yield `${where}: lacks key ${show(key)}`;
  }
}

function sum(all: Iterable<Texts>): Texts {
  const sums = Object.fromEntries(NAMES.map((name) => [name, new Decimal(0)])) as Record<Name, Decimal>;
  for (const texts of all) for (const name of NAMES) sums[name] = sums[name].plus(texts[name]);
  return Object.fromEntries(NAMES.map((name) => [name, canonicalDecimal(sums[name])])) as Texts;
}

/**
 * What a stored row has wrong, for people: against the oracle, and against the cache's own contract (shapes, canonical
 * numbers, equal sums). Empty means equal. A row whose `raw_data` was omitted is wrong unless `omittedRaw` is set.
 */
export function differences(row: StoredRow, day: OracleDay, { omittedRaw = false } = {}): string[] {
  const reader = new RowReader();
  const { found } = reader;
  const column = (name: keyof StoredRow, expected: string): void => {
    if (row[name] !== expected) found.push(`${name}: stored ${show(row[name])}, expected ${show(expected)}`);
  };

  column("tenant_id", day.tenant);
  column("date", day.date);
  column("source_events", String(day.sourceEvents));
  column("malformed_events", String(day.malformed));
  if (row.total_requests !== row.source_events) found.push("total_requests is not source_events");

  const totals = Object.fromEntries(
    NAMES.map((name) => [name, canonicalDecimal(row[COLUMNS[name] as keyof StoredRow])]),
  ) as Texts;
  found.push(...compare("columns", totals, day.totals));

  const parts = {
    aggregated_by_user: day.byUser,
    aggregated_by_model: day.byModel,
    aggregated_by_provider: day.byProvider,
  };
  for (const [name, expected] of Object.entries(parts)) {
    const stored = reader.dimension(name, row[name as keyof typeof parts]);
    found.push(...compareKeys(name, stored, expected), ...compare(`sum(${name})`, sum(stored.values()), totals));
  }

  const raw = reader.raw(row.raw_data);
  if (typeof raw !== "string") {
    if (omittedRaw) found.push("raw_data: has rows, expected them to be omitted");
    found.push(...compareKeys("raw_data", raw, day.raw), ...compare("sum(raw_data)", sum(raw.values()), totals));
  } else if (!omittedRaw) {
    found.push(`raw_data: omitted ${raw} rows, expected rows`);
  } else if (raw !== String(day.raw.size)) {
    found.push(`raw_data.omitted: stored ${raw}, expected ${day.raw.size}`);
  }
  return found;
}
