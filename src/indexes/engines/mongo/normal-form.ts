/**
 * The normal form of a MongoDB index, in which two definitions are equal exactly where they are equal for the server:
 * `sparse: 1` is `sparse: true`, an absent option is its default, a text index is its weights. Pure.
 */
import { BSON, type CollationOptions } from "mongodb";
import type { MongoIndex } from "../../manifest/manifest.ts";
import type { NormalForm } from "../../decision/normal-form.ts";
import { collationText, statedCollation } from "./collation.ts";

/** Since 5.0 the server refuses a second index that is equal in all these parts (error 85). */
export const IDENTITY = ["keys", "collation", "partial", "unique", "sparse", "wildcardProjection"] as const;

/** The parts of IDENTITY that a server of this version compares. @param version such as `[4, 4, 29, 0]` */
export function identityOf([major = 0]: readonly unknown[]): readonly string[] {
  return Number(major) >= 5 ? IDENTITY : ["keys", "collation"];
}

/** Parts that `collMod` changes in place. */
export const ATTRIBUTES: ReadonlySet<string> = new Set(["expireAfterSeconds", "hidden", "prepareUnique"]);

type Spec = Readonly<Record<string, unknown>>;
type Filter = Record<string, unknown>;

/**
 * The index as the `createIndexes` command takes it. Keys are a Map, which keeps the order also of integer-like names.
 * @param ofCollection the collation of the collection
 */
export function mongoSpec(index: MongoIndex, ofCollection?: CollationOptions): Record<string, unknown> {
  const options: Record<string, unknown> = {
    unique: index.unique || undefined,
    sparse: index.sparse || undefined,
    partialFilterExpression: index.partial,
    expireAfterSeconds: index.expireAfterSeconds,
    ...statedCollation(index.collation, ofCollection),
    hidden: index.hidden || undefined,
    weights: index.weights,
    default_language: index.defaultLanguage,
    language_override: index.languageOverride,
    wildcardProjection: index.wildcardProjection,
    bits: index.bits,
    min: index.min,
    max: index.max,
  };
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { key: new Map(index.keys), name: index.name, ...Object.fromEntries(given) };
}

/** @param spec from `mongoSpec` or `listIndexes` @param inherited the collation of the collection */
export function mongoForm(spec: Spec, inherited?: CollationOptions): NormalForm {
  const keys = keyPairs(spec);
  const isText = keys.some(([, kind]) => kind === "text");
  return {
    keys: JSON.stringify(keys),
    collation: collationText((spec["collation"] as CollationOptions | undefined) ?? inherited),
    partial: canonicalFilter(spec["partialFilterExpression"]),
    unique: flag(spec["unique"]),
    // Set by collMod before it makes an index unique: duplicates that are there stay, new ones are refused.
    prepareUnique: flag(spec["prepareUnique"]),
    sparse: flag(spec["sparse"]),
    wildcardProjection: projectionText(spec["wildcardProjection"]),
    expireAfterSeconds:
      spec["expireAfterSeconds"] === undefined ? "" : String(Math.trunc(Number(spec["expireAfterSeconds"]))),
    hidden: flag(spec["hidden"]),
    weights: isText ? weightsText(spec, keys) : "",
    language: isText
      ? JSON.stringify([spec["default_language"] ?? "english", spec["language_override"] ?? "language"])
      : "",
    bucket: gridText(spec),
  };
}

/**
 * Directions by their sign, as the server reads them (it may answer with Int32, Long or Double, and old versions stored any
 * value). Text fields are those of the weights too, sorted: the server adds a weighted field to the keys.
 */
function keyPairs(spec: Spec): [string, string | number][] {
  const key = spec["key"];
  const entries: [string, unknown][] =
    key instanceof Map ? [...(key as Map<string, unknown>)] : Object.entries(key ?? {});
  const pairs: [string, string | number][] = [];
  let text: string[] = [];
  const flush = () => {
    pairs.push(...[...new Set(text)].sort().map((field): [string, string] => [field, "text"]));
    text = [];
  };
  const weighted = Object.keys((spec["weights"] as object | undefined) ?? {});
  for (const [field, kind] of entries) {
    if (field === "_fts") text.push(...weighted);
    else if (kind === "text") text.push(field, ...(text.length === 0 ? weighted : []));
    else if (field !== "_ftsx") {
      flush();
      pairs.push([field, typeof kind === "string" ? kind : Number(kind) < 0 ? -1 : 1]);
    }
  }
  flush();
  return pairs;
}

function weightsText(spec: Spec, keys: readonly [string, string | number][]): string {
  const weights = (spec["weights"] ?? {}) as Record<string, unknown>;
  const fields = new Set([
    ...keys.filter(([, kind]) => kind === "text").map(([field]) => field),
    ...Object.keys(weights),
  ]);
  return JSON.stringify([...fields].sort().map((field) => [field, Math.trunc(Number(weights[field] ?? 1))]));
}

/**
 * The paths of a wildcard projection, sorted. A server answers with the projection as it was written, or (FerretDB, and
 * MongoDB before 5.0.16 and 6.0.5) with booleans, nested, and with the `_id` that is left out of the index unless it is
 * named.
 */
function projectionText(projection: unknown): string {
  const paths = projectionPaths(projection);
  if (paths.length === 0) return "";
  return JSON.stringify(
    Object.entries({ _id: false, ...Object.fromEntries(paths) }).sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

/** Each path of a projection, with whether it is included. */
export function projectionPaths(projection: unknown): [path: string, isIncluded: boolean][] {
  return Object.entries(projection ?? {}).flatMap(([field, value]: [string, unknown]): [string, boolean][] =>
    typeof value === "object" && value !== null && !("_bsontype" in value)
      ? projectionPaths(value).map(([path, isIncluded]) => [`${field}.${path}`, isIncluded])
      : [[field, flag(value) === "true"]],
  );
}

/** What the server takes for a `2d` index that does not say it (manual, "2d Index Properties"). */
export const GRID_DEFAULTS: Readonly<Record<string, number>> = { bits: 26, min: -180, max: 180 };

/** Where the grid of a `2d` index is not the default one. */
function gridText(spec: Spec): string {
  const stated = Object.entries(GRID_DEFAULTS).filter(
    ([option, usual]) => spec[option] !== undefined && Number(spec[option]) !== usual,
  );
  return stated.length === 0 ? "" : JSON.stringify(stated.map(([option]) => [option, Number(spec[option])]));
}

/**
 * A partial filter in one canonical text: `{a: 1}` is `{a: {$eq: 1}}`, the order of predicates and of `$and` does not
 * count. `$in` keeps its order, so two orders are reported as different, which is safe.
 */
export function canonicalFilter(filter: unknown): string {
  if (filter === undefined || filter === null) return "";
  const terms = conjuncts(filter as Filter).sort();
  return terms.length === 0 ? "" : [...new Set(terms)].join(" & ");
}

function conjuncts(filter: Filter): string[] {
  return Object.entries(filter).flatMap(([field, condition]) => {
    if (field === "$and") return (condition as Filter[]).flatMap(conjuncts);
    if (field === "$or") return [`$or[${(condition as Filter[]).map(canonicalFilter).sort().join(" | ")}]`];
    if (!isOperators(condition)) return [`${field}: ${ejson({ $eq: condition })}`];
    return Object.entries(condition).map(([operator, value]) => `${field}: ${ejson({ [operator]: value })}`);
  });
}

function isOperators(condition: unknown): condition is Filter {
  if (typeof condition !== "object" || condition === null || Object.getPrototypeOf(condition) !== Object.prototype)
    return false;
  const names = Object.keys(condition);
  return names.length > 0 && names.every((name) => name.startsWith("$"));
}

/** Numbers of all BSON types become one, since the server compares them by value. */
function ejson(value: unknown): string {
  return BSON.EJSON.stringify(value, { relaxed: true });
}

function flag(value: unknown): string {
  return value === undefined || value === null || value === false || Number(value) === 0 ? "" : "true";
}
