/** The faults of single declarations, which show before any server is asked. */
import { placedIndexes, type Fault, type PlacedIndex } from "./fault.ts";
import type { Manifest, MongoIndex, PostgresIndex, Rolling } from "./manifest.ts";
import { rollingFault, windowAt } from "./rolling.ts";
import { LEDGER_COLLECTION, NAME_BYTES, REPLACED, REPLACEMENT } from "./reserved.ts";
import { expressionFault, parseOpclass } from "./sql-text.ts";

const OWN_ENDINGS = [REPLACEMENT, REPLACED];

/** Pure. */
export function declarationFaults(manifest: Manifest): Fault[] {
  const faults: Fault[] = [...nulFaults(manifest, [])];
  for (const [collection, placed] of placedIndexes(manifest, "mongo")) {
    const target = { path: ["mongo", collection], place: `mongo.${collection}` };
    if (collection === "") faults.push({ ...target, message: "a collection without a name" });
    if (collection === LEDGER_COLLECTION) faults.push({ ...target, message: "this collection is the keeper's own" });
    for (const one of placed) faults.push(...at(one, [...commonFaults(one.index), ...mongoFaults(one.index)]));
  }
  for (const [table, placed] of placedIndexes(manifest, "postgres")) {
    const target = { path: ["postgres", table], place: `postgres.${table}` };
    faults.push(...tableFaults(table, manifest).map((message) => ({ ...target, message })));
    for (const one of placed) faults.push(...at(one, [...commonFaults(one.index), ...postgresFaults(one.index)]));
  }
  return faults;
}

/** A message, and the keys below the index that lead to its place. */
type Message = readonly [message: string, ...path: PropertyKey[]];

function at({ path, place }: PlacedIndex<unknown>, messages: readonly Message[]): Fault[] {
  return messages.map(([message, ...below]) => ({ path: [...path, ...below], place, message }));
}

/** Both servers end a text at NUL somewhere, so what they read would not be what is declared. */
function nulFaults(value: unknown, path: readonly PropertyKey[]): Fault[] {
  if (typeof value === "string") {
    const message = "a text with a NUL character, which no server stores";
    return value.includes("\0") ? [{ path, place: path.slice(0, 3).join("."), message }] : [];
  }
  if (typeof value !== "object" || value === null || "_bsontype" in value) return [];
  return Object.entries(value).flatMap(([key, item]) => [
    ...nulFaults(key, [...path, key]),
    ...nulFaults(item, [...path, Array.isArray(value) ? Number(key) : key]),
  ]);
}

function commonFaults({ name, why }: MongoIndex | PostgresIndex): Message[] {
  return [
    ...(name === "" ? [["an index without a name", "name"] as const] : []),
    ...(OWN_ENDINGS.some((ending) => name.endsWith(ending))
      ? [["the keeper uses this ending during a replacement and would drop the index; rename it", "name"] as const]
      : []),
    ...(why.trim() === "" ? [["say why it exists", "why"] as const] : []),
  ];
}

function mongoFaults(index: MongoIndex): Message[] {
  const faults: Message[] = [];
  const { name, keys, rolling } = index;
  if (name === "*") faults.push(['dropIndexes takes "*" for all indexes of the collection; rename it', "name"]);
  if (name === "_id_") faults.push(["this name belongs to the index that every collection has; rename it", "name"]);
  if (rolling) faults.push(...periodFaults(rolling));
  if (keys.length === 0) faults.push(["no keys", "keys"]);
  const fields = keys.map(([field]) => field);
  if (new Set(fields).size < fields.length) faults.push(["a field occurs twice in its keys", "keys"]);
  // A JavaScript object moves an integer-like name to the front, so the order of the server's reply would be lost.
  for (const [key, field] of fields.entries()) {
    if (/^\d+$/.test(field)) faults.push([`field "${field}" is an integer`, "keys", key]);
  }
  if (index.sparse === true && index.partial !== undefined)
    faults.push(["sparse and partial exclude each other", "sparse"]);
  for (const fault of partialFaults(index.partial)) faults.push([fault, "partial"]);
  for (const fault of gridFaults(index)) faults.push([fault]);
  const ttl = index.expireAfterSeconds;
  if (ttl === undefined) return faults;
  if (keys.length !== 1) faults.push(["expireAfterSeconds needs a single key", "expireAfterSeconds"]);
  if (!Number.isInteger(ttl) || ttl < 0 || ttl > 2_147_483_647) {
    faults.push(["expireAfterSeconds must be an integer from 0 to 2147483647", "expireAfterSeconds"]);
  }
  return faults;
}

/** Servers ignore these options on other indexes, or refuse the build. */
function gridFaults({ keys, bits, min, max }: MongoIndex): string[] {
  if (bits === undefined && min === undefined && max === undefined) return [];
  if (!keys.some(([, kind]) => kind === "2d")) return ["bits, min and max are options of a 2d index"];
  return [
    ...(bits !== undefined && (!Number.isInteger(bits) || bits < 1 || bits > 32) ? ["bits must be 1 to 32"] : []),
    ...((min ?? -180) >= (max ?? 180) ? ["min must be below max (by default -180 and 180)"] : []),
  ];
}

/** Operators that the server refuses in a partial filter (error 67), and what to write instead. */
const NOT_IN_PARTIAL: Readonly<Record<string, string>> = {
  $ne: "name the values to index with $in, or a range",
  $nin: "name the values to index with $in, or a range",
  $not: "say the opposite condition itself",
  $nor: "say the opposite conditions themselves",
  $regex: 'index all strings ({ $gt: "" }) and keep the expression in the query',
  $where: "no index can be built by JavaScript; compare fields with values",
  $expr: "compare fields with values",
};

function partialFaults(filter: unknown): string[] {
  if (filter instanceof RegExp) return partialFaults({ $regex: "" });
  if (typeof filter !== "object" || filter === null || filter instanceof Date) return [];
  return Object.entries(filter).flatMap(([key, value]) => {
    if (key === "$exists" && (value === false || value === 0)) {
      return ["$exists: false cannot be in a partial filter: write { field: null } there and in the query"];
    }
    const instead = Object.hasOwn(NOT_IN_PARTIAL, key) ? NOT_IN_PARTIAL[key] : undefined;
    return instead === undefined ? partialFaults(value) : [`${key} cannot be in a partial filter: ${instead}`];
  });
}

function periodFaults(rolling: Rolling): Message[] {
  const fault = rollingFault(rolling);
  return fault === undefined ? [] : [[`rolling: ${fault}`, "rolling", "keep"]];
}

/** PostgreSQL cuts a longer name without an error, so that it would mean another object. MongoDB takes any length. */
function lengthFault(name: string, what: string): string | undefined {
  const { length } = Buffer.from(name);
  return length > NAME_BYTES ? `${what} has ${length} bytes; PostgreSQL cuts names at ${NAME_BYTES}` : undefined;
}

function tableFaults(target: string, { postgres = {} }: Manifest): string[] {
  const [schema = "", ...rest] = target.split(".");
  const table = rest.join(".");
  if (schema === "" || table === "") {
    const others = Object.keys(postgres).filter((other) => other.endsWith(`.${target}`));
    const also = others.length > 0 ? `; ${others.join(" and ")} is declared too: move its indexes there` : "";
    return [`write it as schema.table${also}`];
  }
  const unquoted = target.replaceAll(/"([^"]*)"/g, "$1");
  if (/^".*"$/.test(schema) || /^".*"$/.test(table)) {
    const also = Object.hasOwn(postgres, unquoted) ? ", which is declared too" : "";
    return [`write it without quotes, as names are quoted for you: ${unquoted}${also}`];
  }
  return [lengthFault(schema, "the schema's name"), lengthFault(table, "the table's name")].filter(
    (fault) => fault !== undefined,
  );
}

function postgresFaults(index: PostgresIndex): Message[] {
  const faults: Message[] = [];
  const { name, columns, where, constraint, rolling, include = [] } = index;
  const long = (text: string, what: string, ...path: PropertyKey[]) => {
    const fault = lengthFault(text, what);
    if (fault !== undefined) faults.push([fault, ...path]);
  };
  const expression = (text: string, what: string, ...path: PropertyKey[]) => {
    const fault = expressionFault(text);
    if (fault !== undefined) faults.push([`${what} is not one SQL expression: ${fault}`, ...path]);
  };
  if (rolling) {
    faults.push(...periodFaults(rolling));
    long(rolling.column, "the column's name", "rolling", "column");
    if (rollingFault(rolling) === undefined) {
      long(windowAt(name, rolling, new Date(0)).name, "with the suffix of its window the name", "name");
    }
  }
  long(name, "the name", "name");
  if (columns.length === 0) faults.push(["no columns", "columns"]);
  for (const [n, column] of columns.entries()) {
    const { col, expr, opclass, collate } = typeof column === "string" ? { col: column } : column;
    if (col !== undefined) long(col, "the column's name", "columns", n);
    if (expr !== undefined) expression(expr, "its expr", "columns", n, "expr");
    if (collate !== undefined) long(collate, "the collation's name", "columns", n, "collate");
    if (opclass !== undefined && !parseOpclass(opclass)) {
      const example = "a name, or a name with parameters: gist_trgm_ops (siglen = 32)";
      faults.push([`"${opclass}" is no operator class; write ${example}`, "columns", n, "opclass"]);
    }
  }
  for (const [n, column] of include.entries()) long(column, "the column's name", "include", n);
  for (const [option, value] of Object.entries(index.with ?? {})) {
    if (!/^[a-z_]\w*$/i.test(option)) faults.push([`"${option}" is no storage parameter`, "with", option]);
    if (typeof value === "number" && !Number.isFinite(value)) faults.push([`${option} must be finite`, "with", option]);
  }
  if (where !== undefined) expression(where, "its predicate", "where");
  if (constraint !== undefined && where !== undefined) {
    faults.push(["the index of a constraint cannot have a predicate; remove where", "where"]);
  }
  return faults;
}
