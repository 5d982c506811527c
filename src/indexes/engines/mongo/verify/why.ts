/** Finds out why MongoDB does not use an index for a query, from the index's spec and by trying changed queries. */
import type { CollationOptions, Document } from "mongodb";
import type { Contract } from "../../../manifest/manifest.ts";
import { collationText } from "../collation.ts";
import { termsOf } from "./implied.ts";
import type { Query } from "./sample.ts";
import { leadingFilter } from "../../../contract/placeholders.ts";

type Filter = Readonly<Record<string, unknown>>;

export interface MongoQuestion {
  /** the index as the server lists it */
  readonly spec: Document;
  readonly contract: Contract;
  readonly query: Query;
  readonly collectionCollation: CollationOptions | undefined;
  /** Does the server use the index for a changed query, given a hint? */
  readonly isServed: (query: Query) => Promise<boolean>;
  /** Terms of the partial filter that the query is known not to imply; if empty, the server is asked. */
  readonly unproven?: readonly Filter[];
}

/** The reasons, for the manifest's author; empty if none was found. */
export async function mongoReasons(question: MongoQuestion): Promise<string[]> {
  const { spec, contract, query, collectionCollation } = question;
  if (spec["hidden"] === true) return ["the index is hidden"];
  const collation = contract.collation ?? collectionCollation;
  const ofIndex = collationText(spec["collation"] as CollationOptions | undefined);
  const ofQuery = collationText(collation);
  if (ofIndex !== ofQuery) {
    const said = (text: string) => text || "none";
    return [
      `the collation differs: the index has ${said(ofIndex)}, the query ${said(ofQuery)}; give the query the index's`,
    ];
  }
  const { unproven = [] } = question;
  const missing = unproven.length > 0 ? unproven : await unimplied(question);
  if (missing.length > 0) {
    return [`the query does not imply the index's filter: add ${missing.map((one) => JSON.stringify(one)).join(", ")}`];
  }
  const [first = ""] = Object.keys((spec["key"] ?? {}) as object);
  const filter = leadingFilter(query);
  if (spec["sparse"] === true && !fieldsOf(filter).has(first)) {
    return [`the index is sparse: it lacks the documents without ${first}, which the query does not exclude`];
  }
  if (!first.startsWith("_fts") && !fieldsOf(filter).has(first)) {
    return [`the query compares nothing with the index's first key, ${first}`];
  }
  return [];
}

/** The terms of a partial filter that the query must be given before the server uses the index. */
async function unimplied({ spec, query, isServed }: MongoQuestion): Promise<Filter[]> {
  const partial = spec["partialFilterExpression"] as Filter | undefined;
  if (!partial) return [];
  const terms = termsOf(partial);
  if (!(await isServed(narrowed(query, terms)))) return [];
  let needed = terms;
  for (const term of terms) {
    const without = needed.filter((one) => one !== term);
    if (await isServed(narrowed(query, without))) needed = without;
  }
  return needed;
}

function narrowed({ find, count, aggregate }: Query, added: readonly Filter[]): Query {
  const both = (filter: Filter) => ({ $and: [filter, ...added] });
  if (find) return { find: { ...find, filter: both(find.filter) } };
  if (count) return { count: both(count) };
  return { aggregate: [...(added.length > 0 ? [{ $match: { $and: added } }] : []), ...(aggregate ?? [])] };
}

/** Fields with a condition that every document must meet. */
function fieldsOf(filter: Filter): Set<string> {
  return new Set(
    Object.entries(filter).flatMap(([key, condition]): string[] => {
      if (key === "$and") return (condition as Filter[]).flatMap((one) => [...fieldsOf(one)]);
      if (key !== "$or") return [key];
      const [first, ...others] = (condition as Filter[]).map(fieldsOf);
      return [...(first ?? [])].filter((field) => others.every((other) => other.has(field)));
    }),
  );
}
