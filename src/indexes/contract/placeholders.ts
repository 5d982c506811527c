/**
 * The placeholders `"$p:name"` of a MongoDB query: finds the field that each is compared with, and how, and replaces
 * them with values. Values of BSON's own classes are left as they are. Pure.
 */
import { Long } from "mongodb";
import type { Contract } from "../manifest/manifest.ts";

type Plain = Readonly<Record<string, unknown>>;

/**
 * How the value is compared with the field: `value` for equality, `list` for $in, $nin and $all, the others as bounds.
 */
export type Role = "value" | "from" | "above" | "to" | "below" | "list";

export interface Placeholder {
  readonly name: string;
  /**
   * The field it is compared with; undefined where the query does not show it, so that `params` must give the value.
   */
  readonly field: string | undefined;
  readonly role: Role;
}

const PREFIX = "$p:";
const ROLES: Readonly<Record<string, Role>> = {
  $gte: "from",
  $gt: "above",
  $lte: "to",
  $lt: "below",
  $in: "list",
  $nin: "list",
  $all: "list",
};
/** Half a month before and after the sampled time: a month's range, as dashboards ask for. */
export const AROUND_MS = 15 * 86_400_000;

/** The parts of a contract that hold a filter, and those that may hold values elsewhere. */
type Query = Pick<Contract, "find" | "count" | "aggregate">;
type Put = (placeholder: Placeholder) => unknown;

/** Each placeholder once, at its first place. */
export function placeholdersOf(query: Query): Placeholder[] {
  const found = new Map<string, Placeholder>();
  fillQuery(query, (placeholder) => {
    if (!found.has(placeholder.name)) found.set(placeholder.name, placeholder);
    return null;
  });
  return [...found.values()];
}

/** The query with each placeholder replaced by the result of `put`. */
export function fillQuery(query: Query, put: Put): Query {
  const { find, count, aggregate } = query;
  return {
    ...(find ? { find: { ...find, filter: filled(find.filter, put) } } : {}),
    ...(count ? { count: filled(count, put) } : {}),
    ...(aggregate
      ? {
          aggregate: aggregate.map((stage) =>
            isPlain(stage["$match"])
              ? { ...stage, $match: filled(stage["$match"], put) }
              : (anywhere(stage, undefined, "value", put) as Plain),
          ),
        }
      : {}),
  };
}

/** The filter that picks documents before anything else happens to them. */
export function leadingFilter({ find, count, aggregate }: Query): Plain {
  const match = aggregate?.[0]?.["$match"];
  return find?.filter ?? count ?? (isPlain(match) ? match : {});
}

/** The conditions without a placeholder: with values from a document that meets them, the query finds something. */
export function literalPart(filter: Plain): Plain {
  const entries = Object.entries(filter).flatMap(([key, condition]): [string, unknown][] => {
    if (!mentionsPlaceholder(condition)) return [[key, condition]];
    if (key === "$and") {
      const terms = (condition as Plain[]).map(literalPart).filter((term) => Object.keys(term).length > 0);
      return terms.length > 0 ? [[key, terms]] : [];
    }
    if (key.startsWith("$") || !isOperators(condition)) return [];
    const kept = Object.entries(condition).filter(([, value]) => !mentionsPlaceholder(value));
    return kept.length > 0 ? [[key, Object.fromEntries(kept)]] : [];
  });
  return Object.fromEntries(entries);
}

/** The value to put in for a sampled one: itself, a bound half a month away, or a list of it. */
export function valueFor(role: Role, value: unknown): unknown {
  if (role === "list") return [value];
  if (role === "value") return value;
  const isLower = role === "from" || role === "above";
  if (value instanceof Date) return new Date(value.getTime() + (isLower ? -AROUND_MS : AROUND_MS));
  const step = role === "above" ? -1 : role === "below" ? 1 : 0;
  if (typeof value === "number") return value + step;
  if (value instanceof Long) return value.add(step);
  if (typeof value === "string") return role === "above" ? "" : role === "below" ? `${value}\uffff` : value;
  return value;
}

function filled(filter: Plain, put: Put, prefix = ""): Plain {
  return Object.fromEntries(
    Object.entries(filter).map(([key, condition]) => {
      if (key === "$and" || key === "$or" || key === "$nor") {
        return [key, (condition as Plain[]).map((one) => filled(one, put, prefix))];
      }
      if (key.startsWith("$")) return [key, anywhere(condition, undefined, "value", put)];
      return [key, filledCondition(condition, prefix + key, put)];
    }),
  );
}

function filledCondition(condition: unknown, field: string, put: Put): unknown {
  if (!isOperators(condition)) return anywhere(condition, field, "value", put);
  return Object.fromEntries(
    Object.entries(condition).map(([operator, value]) => {
      if (operator === "$not") return [operator, filledCondition(value, field, put)];
      if (operator === "$elemMatch" && isPlain(value)) {
        return [operator, isOperators(value) ? filledCondition(value, field, put) : filled(value, put, `${field}.`)];
      }
      // A placeholder inside a list is one value of it; in place of the list it is the whole list.
      if (Array.isArray(value)) return [operator, value.map((one) => anywhere(one, field, "value", put))];
      return [operator, anywhere(value, field, ROLES[operator] ?? "value", put)];
    }),
  );
}

function anywhere(value: unknown, field: string | undefined, role: Role, put: Put): unknown {
  if (isPlaceholder(value)) return put({ name: value.slice(PREFIX.length), field, role });
  if (Array.isArray(value)) return value.map((one) => anywhere(one, field, role, put));
  if (!isPlain(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => {
      const below = field === undefined || key.startsWith("$") ? field : `${field}.${key}`;
      return [key, anywhere(one, below, role, put)];
    }),
  );
}

function mentionsPlaceholder(value: unknown): boolean {
  let mentions = false;
  anywhere(value, undefined, "value", () => (mentions = true));
  return mentions;
}

function isPlaceholder(value: unknown): value is string {
  return typeof value === "string" && value.startsWith(PREFIX);
}

function isPlain(value: unknown): value is Plain {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function isOperators(value: unknown): value is Plain {
  if (!isPlain(value)) return false;
  const keys = Object.keys(value);
  return keys.length > 0 && keys.every((key) => key.startsWith("$"));
}
