/** Refuses a faulty manifest before any server is asked, and lists every fault with its place. */
import { UsageError } from "../../errors.ts";
import type { Contract, Manifest, MongoIndex, PostgresIndex, Rolling } from "./manifest.ts";
import { rollingFault, windowAt } from "./rolling.ts";
import { LEDGER_COLLECTION, REPLACED, REPLACEMENT, NAME_BYTES } from "./reserved.ts";

const OWN_ENDINGS = [REPLACEMENT, REPLACED];
const VOLATILE =
  /\b(now|current_date|current_time|current_timestamp|localtime|localtimestamp|clock_timestamp|random)\b/i;

/** @throws UsageError naming each faulty index. */
export function lintManifest(manifest: Manifest): void {
  const faults: string[] = [];
  for (const [collection, indexes] of Object.entries(manifest.mongo ?? {})) {
    if (collection === "") faults.push("mongo: a collection without a name");
    if (collection === LEDGER_COLLECTION) faults.push(`mongo.${collection}: this collection is the keeper's own`);
    names(`mongo.${collection}`, indexes, faults);
    for (const index of indexes) mongoFaults(`mongo.${collection}.${index.name}`, index, faults);
    const texts = indexes.filter(({ keys }) => keys.some(([, kind]) => kind === "text")).map(({ name }) => name);
    if (texts.length > 1) {
      faults.push(
        `mongo.${collection}: ${texts.join(" and ")} are text indexes, a collection can have one: merge them`,
      );
    }
  }
  for (const [table, indexes] of Object.entries(manifest.postgres ?? {})) {
    if (!/^[^.]+\..+$/.test(table)) faults.push(`postgres.${table}: write it as schema.table`);
    names(`postgres.${table}`, indexes, faults);
    for (const index of indexes) postgresFaults(`postgres.${table}.${index.name}`, index, faults);
  }
  for (const [target, contracts] of Object.entries(manifest.queries ?? {})) {
    contractFaults(`queries.${target}`, contracts, faults);
  }
  if (faults.length > 0) {
    throw new UsageError([
      `the index manifest "${manifest.project}" is wrong:`,
      ...faults.map((fault) => `  ${fault}`),
    ]);
  }
}

function names(place: string, indexes: readonly (MongoIndex | PostgresIndex)[], faults: string[]): void {
  const seen = new Set<string>();
  for (const { name, why, contracts = [], rolling } of indexes) {
    if (name === "") faults.push(`${place}: an index without a name`);
    if (Buffer.byteLength(name) > NAME_BYTES) faults.push(`${place}.${name}: the name is over ${NAME_BYTES} bytes`);
    if (seen.has(name)) faults.push(`${place}.${name}: declared twice`);
    if (OWN_ENDINGS.some((ending) => name.endsWith(ending))) {
      faults.push(
        `${place}.${name}: the keeper uses this ending during a replacement and would drop the index; rename it`,
      );
    }
    if (rolling) faults.push(...rollingFaults(`${place}.${name}`, name, rolling));
    if (why.trim() === "") faults.push(`${place}.${name}: say why it exists`);
    contractFaults(`${place}.${name}`, contracts, faults);
    seen.add(name);
  }
}

function rollingFaults(place: string, name: string, rolling: Rolling): string[] {
  const fault = rollingFault(rolling);
  if (fault !== undefined) return [`${place}: rolling: ${fault}`];
  const { length } = Buffer.from(windowAt(name, rolling, new Date(0)).name);
  return length > NAME_BYTES
    ? [`${place}: with the suffix of its window the name has ${length} bytes, over ${NAME_BYTES}; shorten it`]
    : [];
}

function contractFaults(place: string, contracts: readonly Contract[], faults: string[]): void {
  const seen = new Set<string>();
  for (const { name, mode, because, ...query } of contracts) {
    if (seen.has(name)) faults.push(`${place}: two contracts are called "${name}"`);
    seen.add(name);
    const kinds = (["find", "count", "aggregate", "sql"] as const).filter((kind) => query[kind] !== undefined);
    if (kinds.length !== 1) faults.push(`${place}: contract "${name}" needs one of find, count, aggregate and sql`);
    if (mode === "cannot" && (because ?? "") === "")
      faults.push(`${place}: contract "${name}" has mode "cannot" and must give the reason in because`);
  }
}

function mongoFaults(place: string, index: MongoIndex, faults: string[]): void {
  if (index.keys.length === 0) faults.push(`${place}: no keys`);
  const fields = index.keys.map(([field]) => field);
  if (new Set(fields).size < fields.length) faults.push(`${place}: a field occurs twice in its keys`);
  // A JavaScript object moves an integer-like name to the front, so the order of the server's reply would be lost.
  for (const field of fields) if (/^\d+$/.test(field)) faults.push(`${place}: field "${field}" is an integer`);
  if (index.sparse === true && index.partial !== undefined)
    faults.push(`${place}: sparse and partial exclude each other`);
  for (const fault of partialFaults(index.partial)) faults.push(`${place}: ${fault}`);
  const ttl = index.expireAfterSeconds;
  if (ttl === undefined) return;
  if (index.keys.length !== 1) faults.push(`${place}: expireAfterSeconds needs a single key`);
  if (!Number.isInteger(ttl) || ttl < 0 || ttl > 2_147_483_647) {
    faults.push(`${place}: expireAfterSeconds must be an integer from 0 to 2147483647`);
  }
}

/** Operators that the server refuses in a partial filter (error 67), and what to write instead. */
const NOT_IN_PARTIAL: Readonly<Record<string, string>> = {
  $ne: "name the values to index with $in, or a range",
  $nin: "name the values to index with $in, or a range",
  $not: "say the opposite condition itself",
  $nor: "say the opposite conditions themselves",
  $regex: 'index all strings ({ $gt: "" }) and keep the expression in the query',
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

function postgresFaults(place: string, index: PostgresIndex, faults: string[]): void {
  if (index.columns.length === 0) faults.push(`${place}: no columns`);
  if (index.where !== undefined && VOLATILE.test(index.where)) {
    faults.push(
      `${place}: the predicate depends on the clock or on chance, which no index can follow: index all rows, or declare it rolling`,
    );
  }
  if (index.constraint !== undefined && index.where !== undefined) {
    faults.push(`${place}: the index of a constraint cannot have a predicate; remove where`);
  }
}
