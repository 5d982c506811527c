/**
 * Arrays in indexed fields. Where one document has, or had, an array in a field, mongod does not intersect the bounds of two
 * conditions on that field (manual, "Multikey Index Bounds": two members of the array may meet them), so a range between two
 * times is read from one of them to the end of the index. Results stay right. Nor does the index give an order by that field,
 * or its values without the document. Pure.
 */
import { leadingFilter } from "../../../contract/placeholders.ts";
import type { PlanFacts } from "../../../contract/plan-facts.ts";
import type { Warning } from "../../../contract/verdict.ts";
import type { Contract } from "../../../manifest/manifest.ts";
import { shellText } from "../shell.ts";
import { conditionsOf, termsOf } from "./implied.ts";
import type { Query } from "./sample.ts";

type Filter = Readonly<Record<string, unknown>>;

/**
 * The warnings about arrays that make the contract's query dear. None about arrays that are meant: an equality, or
 * `$elemMatch`, reads the same entries with and without them.
 *
 * @param accepted names of the indexes that may serve the contract
 */
export function arrayWarnings(
  target: string,
  contract: Contract,
  query: Query,
  accepted: readonly string[],
  plans: readonly (PlanFacts | undefined)[],
): Warning[] {
  const harmed = new Set([
    ...comparedTwice(leadingFilter(query)),
    ...(contract.noSort === true ? orderedBy(query) : []),
    ...(contract.covered === true ? Object.keys(query.find?.projection ?? {}) : []),
  ]);
  const paths = new Map<string, Set<string>>();
  for (const { index, arrays = {} } of plans.flatMap((plan) => plan?.accesses ?? [])) {
    if (index === undefined || !accepted.includes(index)) continue;
    const found = Object.entries(arrays).flatMap(([field, parts]) => (harmed.has(field) ? parts : []));
    if (found.length > 0) paths.set(index, new Set([...(paths.get(index) ?? []), ...found]));
  }
  return [...paths].map(([index, found]) => ({ kind: "multikey", sentence: sentenceOf(target, index, [...found]) }));
}

function sentenceOf(target: string, index: string, paths: readonly string[]): string {
  const collection = `db.getCollection(${JSON.stringify(target)})`;
  const terms = paths.map((path) => ({ [path]: { $type: "array" } }));
  const filter = shellText(terms.length === 1 ? terms[0] : { $or: terms });
  return (
    `${index} is multikey: a document has or had an array in ${paths.join(" or ")}, so the server reads far more of the index ` +
    `than the query asks for. Find such documents with ${collection}.find(${filter}) and mend them. Only a new build takes ` +
    `the mark away: while nothing reads through it, ${collection}.dropIndex(${JSON.stringify(index)}), then run: tallyman indexes ensure.`
  );
}

/** Fields with two conditions, in all of the filter or in one branch of an `$or`. */
function comparedTwice(filter: Filter): string[] {
  const counts = new Map<string, number>();
  const inBranches: string[] = [];
  for (const [field, condition] of termsOf(filter).flatMap((term) => Object.entries(term))) {
    if (field === "$or") inBranches.push(...(condition as Filter[]).flatMap(comparedTwice));
    else counts.set(field, (counts.get(field) ?? 0) + conditionsOf(condition).length);
  }
  return [...inBranches, ...[...counts].filter(([, count]) => count > 1).map(([field]) => field)];
}

/** The fields of the query's order. */
function orderedBy({ find, aggregate = [] }: Query): string[] {
  const sort = find?.sort ?? aggregate.find((stage) => stage["$sort"] !== undefined)?.["$sort"] ?? {};
  return Object.keys(sort);
}
