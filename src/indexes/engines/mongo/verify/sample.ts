/** Draws the values of a contract's placeholders from one document of the collection, with their BSON types. */
import type { Document } from "mongodb";
import type { Contract, Param } from "../../../manifest/manifest.ts";
import { isSample } from "../../../contract/contracts.ts";
import {
  fillQuery,
  leadingFilter,
  literalPart,
  placeholdersOf,
  valueFor,
  type Placeholder,
} from "../../../contract/placeholders.ts";
import { moved, shiftMs } from "../../../contract/shift.ts";
import { statedCollation } from "../collation.ts";
import type { MongoTarget } from "./target.ts";

/** Documents drawn to find one that has every field. */
const TRIES = 50;
/** Documents that meet the fixed part of the filter, from which TRIES are drawn; more would read too much. */
const NEAR = 1_000;

export type Query = Pick<Contract, "find" | "count" | "aggregate">;

export interface Filled {
  readonly query: Query;
  /** The values are not invented. */
  readonly isReal: boolean;
}

export async function filledQuery(target: MongoTarget, contract: Contract): Promise<Filled> {
  const placeholders = placeholdersOf(contract);
  const params = (contract.params ?? {}) as Readonly<Record<string, Param>>;
  const fields = new Map(placeholders.map((placeholder) => [placeholder.name, fieldOf(placeholder, params)]));
  const wanted = [...new Set(fields.values())].filter((field) => field !== undefined);
  const document = wanted.length === 0 ? undefined : await draw(target, contract, wanted);
  const values = new Map(
    placeholders.map((placeholder) => {
      const field = fields.get(placeholder.name);
      const sampled = field === undefined || !document ? undefined : valueAt(document, field);
      return [placeholder.name, valueOf(placeholder, params, sampled)];
    }),
  );
  const query = fillQuery(contract, ({ name, role }) => {
    const value = values.get(name);
    return role === "list" && !Array.isArray(value) ? [value] : value;
  });
  return { query, isReal: wanted.length === 0 || document !== undefined };
}

/** The field to sample; undefined for a literal. */
function fieldOf({ name, field }: Placeholder, params: Readonly<Record<string, Param>>): string | undefined {
  if (!Object.hasOwn(params, name)) return field;
  const param = params[name];
  return isSample(param) ? param.sample : undefined;
}

function valueOf({ name, role }: Placeholder, params: Readonly<Record<string, Param>>, sampled: unknown): unknown {
  const param = Object.hasOwn(params, name) ? params[name] : undefined;
  if (param !== undefined && !isSample(param)) return param;
  const value = sampled ?? (role === "value" || role === "list" ? "x" : new Date(0));
  if (!isSample(param)) return role === "list" ? value : valueFor(role, value);
  const ms = param.shift === undefined ? 0 : (shiftMs(param.shift) ?? 0);
  return ms === 0 ? value : (moved(value, ms) ?? value);
}

/** A document that has a value in each field; undefined if none of the drawn documents does. */
async function draw(
  { db, name, collation, limitMs }: MongoTarget,
  contract: Contract,
  fields: readonly string[],
): Promise<Document | undefined> {
  // Drawn from documents that meet the filter's fixed part, so that the query finds something.
  const near = literalPart(leadingFilter(contract));
  const isNear = Object.keys(near).length > 0;
  const options = { maxTimeMS: limitMs, promoteLongs: false, ...statedCollation(contract.collation, collation) };
  const attempts: Document[][] = [
    isNear ? [{ $match: near }, { $limit: NEAR }, { $sample: { size: TRIES } }] : [{ $sample: { size: TRIES } }],
    [{ $match: { $and: [near, ...fields.map((field) => ({ [field]: { $ne: null } }))] } }, { $limit: 1 }],
    ...(isNear ? [[{ $sample: { size: TRIES } }]] : []),
  ];
  for (const pipeline of attempts) {
    const documents = await db.collection(name).aggregate<Document>(pipeline, options).toArray();
    const found = documents.find((document) => fields.every((field) => valueAt(document, field) != null));
    if (found) return found;
  }
  return undefined;
}

/** The value at a dotted path; of a list, its first member. */
export function valueAt(document: unknown, path: string): unknown {
  let value = firstOf(document);
  for (const name of path.split(".")) {
    if (typeof value !== "object" || value === null) return undefined;
    value = firstOf((value as Readonly<Record<string, unknown>>)[name]);
  }
  return value;
}

function firstOf(value: unknown): unknown {
  return Array.isArray(value) ? (value as unknown[])[0] : value;
}
