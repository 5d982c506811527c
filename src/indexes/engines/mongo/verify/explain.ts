/** Runs `explain` for one query, and measures its whole answer, on MongoDB and FerretDB. */
import type { Document } from "mongodb";
import { isOutOfTime } from "../../../../mongo/errors.ts";
import type { Contract } from "../../../manifest/manifest.ts";
import { statedCollation } from "../collation.ts";
import { readFerretPlan } from "./ferret-plan.ts";
import { readMongoPlan } from "./plan.ts";
import type { Query } from "./sample.ts";
import type { MongoTarget } from "./target.ts";
import type { PlanFacts } from "../../../contract/plan-facts.ts";
import { shortest, type Timed } from "../../../contract/shortest.ts";

export interface MongoExplained {
  readonly plan: PlanFacts;
  readonly ms?: number;
  readonly isCutOff: boolean;
}

/** The query as a command; `extra` may be a hint. */
function commandOf({ name, collation }: MongoTarget, contract: Contract, query: Query, extra: Document): Document {
  const { find, count, aggregate } = query;
  const common = { ...statedCollation(contract.collation, collation), ...extra };
  if (find) return { find: name, ...find, ...common };
  if (count) return { count: name, query: count, ...common };
  return { aggregate: name, pipeline: aggregate ?? [], cursor: {}, ...common };
}

/** Executes the query in explain where the server does that; only plans it if that takes over the limit. */
export async function explainOnMongo(
  target: MongoTarget,
  contract: Contract,
  query: Query,
  extra: Document = {},
): Promise<MongoExplained> {
  const { db, isFerret, limitMs } = target;
  const explain = commandOf(target, contract, query, extra);
  if (isFerret) {
    const reply = await db.command({ explain, verbosity: "queryPlanner", maxTimeMS: limitMs });
    return { plan: readFerretPlan(reply), isCutOff: false };
  }
  try {
    const reply = await db.command({ explain, verbosity: "executionStats", maxTimeMS: limitMs });
    const ms = (reply["executionStats"] as Document | undefined)?.["executionTimeMillis"] as number | undefined;
    return { plan: readMongoPlan(reply), isCutOff: false, ...(ms === undefined ? {} : { ms }) };
  } catch (error) {
    if (!isOutOfTime(error)) throw error;
    const reply = await db.command({ explain, verbosity: "queryPlanner", maxTimeMS: limitMs });
    return { plan: readMongoPlan(reply), isCutOff: true };
  }
}

/** How long a client waits for the whole answer, and its number of documents; undefined if over the limit. */
export function measureOnMongo(
  target: MongoTarget,
  contract: Contract,
  query: Query,
  maxMs: number,
): Promise<Timed<number> | undefined> {
  return shortest(maxMs, () =>
    runOnce(target, contract, query).catch((error: unknown) => {
      if (!isOutOfTime(error)) throw error;
      return undefined;
    }),
  );
}

async function runOnce(
  { db, name, collation, limitMs }: MongoTarget,
  contract: Contract,
  { find, count, aggregate }: Query,
): Promise<number> {
  const collection = db.collection(name);
  const options = { maxTimeMS: limitMs, ...statedCollation(contract.collation, collation) };
  if (count) {
    const { n } = await db.command({ count: name, query: count, ...options });
    return Number(n);
  }
  const { filter = {}, ...rest } = find ?? {};
  const cursor = find
    ? collection.find(filter, { ...options, ...rest })
    : collection.aggregate([...(aggregate ?? [])], options);
  let documents = 0;
  for await (const _document of cursor) documents += 1;
  return documents;
}
