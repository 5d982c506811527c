/**
 * Does a query imply a partial index's filter? FerretDB obeys a hint even where the index lacks documents of the
 * result, so the proof is made here; a term without a proof counts as not implied. Pure.
 */
import { BSON, Long } from "mongodb";

type Filter = Readonly<Record<string, unknown>>;

/** One operator of a condition on one field; `$eq` for a bare value. */
interface Condition {
  readonly operator: string;
  readonly value: unknown;
}

/** The terms of a filter, one a field, all of which a document must meet. */
export function termsOf(filter: Filter): Filter[] {
  return Object.entries(filter).flatMap(([field, condition]): Filter[] =>
    field === "$and" ? (condition as Filter[]).flatMap(termsOf) : [{ [field]: condition }],
  );
}

/**
 * The terms of an index's filter that are not proven for every document in the query's result.
 *
 * @param isCollated a collation orders the strings, which is not known here: only the empty string is known to be
 * lowest
 */
export function unprovenTerms(partial: Filter, query: Filter, isCollated: boolean): Filter[] {
  return termsOf(partial).filter((term) => !impliesTerm(query, term, isCollated));
}

function impliesTerm(query: Filter, term: Filter, isCollated: boolean): boolean {
  const terms = termsOf(query);
  if (terms.some((one) => same(one, term))) return true;
  const isByBranch = terms.some(({ $or: branches }) => {
    return Array.isArray(branches) && (branches as Filter[]).every((branch) => impliesTerm(branch, term, isCollated));
  });
  if (isByBranch) return true;
  const [[field, wanted] = ["", undefined]] = Object.entries(term);
  if (field === "$or") {
    return (wanted as Filter[]).some((branch) => unprovenTerms(branch, query, isCollated).length === 0);
  }
  if (field.startsWith("$")) return false;
  const given = terms.filter((one) => Object.hasOwn(one, field)).flatMap((one) => conditionsOf(one[field]));
  // A single condition must prove the term: two conditions may be met by two different members of a list.
  return conditionsOf(wanted).every((each) => given.some((one) => implies(one, each, isCollated)));
}

/** The operators of the condition on one field. */
export function conditionsOf(condition: unknown): Condition[] {
  const entries = isPlain(condition) ? Object.entries(condition) : [];
  if (entries.length === 0 || !entries.every(([key]) => key.startsWith("$"))) {
    return [{ operator: "$eq", value: condition }];
  }
  return entries.map(([operator, value]) => ({ operator, value }));
}

function implies(given: Condition, wanted: Condition, isCollated: boolean): boolean {
  if (same(given, wanted)) return true;
  if (given.operator === "$in" && Array.isArray(given.value) && given.value.length > 0) {
    return given.value.every((value) => implies({ operator: "$eq", value }, wanted, isCollated));
  }
  if (wanted.operator === "$in" && Array.isArray(wanted.value)) {
    return wanted.value.some((value) => implies(given, { operator: "$eq", value }, isCollated));
  }
  const order = compare(given.value, wanted.value, isCollated);
  const isEqual = given.operator === "$eq";
  const isAbove = given.operator === "$gt" || given.operator === "$gte";
  const isBelow = given.operator === "$lt" || given.operator === "$lte";
  switch (wanted.operator) {
    case "$exists":
      // A comparison, unless with null, finds no document without the field.
      return wanted.value === true && (isEqual || isAbove || isBelow) && comparable(given.value) !== undefined;
    case "$eq":
      return isEqual && order === 0;
    case "$gte":
      return order !== undefined && order >= 0 && (isEqual || isAbove);
    case "$gt":
      return order !== undefined && (order > 0 ? isEqual || isAbove : order === 0 && given.operator === "$gt");
    case "$lte":
      return order !== undefined && order <= 0 && (isEqual || isBelow);
    case "$lt":
      return order !== undefined && (order < 0 ? isEqual || isBelow : order === 0 && given.operator === "$lt");
    default:
      return false;
  }
}

/** Undefined for values of different kinds, which no range spans, or of a kind without a known order. */
function compare(a: unknown, b: unknown, isCollated: boolean): number | undefined {
  const [left, right] = [comparable(a), comparable(b)];
  if (left === undefined || right === undefined || left.kind !== right.kind) return undefined;
  if (typeof left.value === "string" && typeof right.value === "string") {
    const isKnown = !isCollated || left.value === "" || right.value === "" || left.value === right.value;
    return isKnown ? Buffer.compare(Buffer.from(left.value), Buffer.from(right.value)) : undefined;
  }
  return left.value < right.value ? -1 : left.value > right.value ? 1 : left.value === right.value ? 0 : undefined;
}

function comparable(value: unknown): { kind: string; value: string | number | bigint } | undefined {
  if (typeof value === "string") return { kind: "string", value };
  if (typeof value === "number" && Number.isFinite(value)) return { kind: "number", value: exact(value) };
  if (typeof value === "bigint") return { kind: "number", value: exact(value) };
  if (value instanceof Long) return { kind: "number", value: exact(value.toBigInt()) };
  if (value instanceof BSON.Int32 || value instanceof BSON.Double) return comparable(Number(value.value));
  if (typeof value === "boolean") return { kind: "boolean", value: Number(value) };
  if (value instanceof Date) return { kind: "date", value: value.getTime() };
  if (value instanceof BSON.ObjectId) return { kind: "id", value: value.toHexString() };
  return undefined;
}

/** Whole numbers as bigint, since `1 === 1n` is false. */
function exact(value: number | bigint): number | bigint {
  return typeof value === "number" && Number.isInteger(value) ? BigInt(value) : value;
}

function isPlain(value: unknown): value is Filter {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

function same(a: unknown, b: unknown): boolean {
  return BSON.EJSON.stringify({ a }) === BSON.EJSON.stringify({ a: b });
}
