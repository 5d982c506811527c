/**
 * Verifies a contract on MongoDB or FerretDB: its plan with real values, its plan with a hint for its index, its time.
 */
import { type Db, type Document, MongoServerError } from "mongodb";
import { isConnectionLoss, UnreachableError } from "../../../../errors.ts";
import { serverCode } from "../../../../mongo/errors.ts";
import { isFerret as isFerretServer } from "../../../../mongo/server.ts";
import { messageOf } from "../../engine.ts";
import type { Contract } from "../../../manifest/manifest.ts";
import { explainOnMongo, measureOnMongo, type MongoExplained } from "./explain.ts";
import type { MongoTarget } from "./target.ts";
import { collationOf, collationText } from "../collation.ts";
import { unprovenTerms } from "./implied.ts";
import { arrayWarnings } from "./multikey.ts";
import { filledQuery, type Query } from "./sample.ts";
import { mongoReasons } from "./why.ts";
import { leadingFilter } from "../../../contract/placeholders.ts";
import { goesThrough, indexNames, type PlanFacts } from "../../../contract/plan-facts.ts";
import {
  judgeContract,
  keepsShape,
  refused,
  type Check,
  type ContractEvidence,
  type Judgement,
} from "../../../contract/verdict.ts";

/** With fewer documents than this, any plan may be as good as another. */
const SMALL_DOCUMENTS = 10_000;
const NO_NAMESPACE = 26;

/** Properties of a collection, read once for all its contracts. */
export interface MongoCollection extends MongoTarget {
  readonly exists: boolean;
  readonly size: ContractEvidence["size"];
  readonly specs: readonly Document[];
}

export interface MongoContract {
  readonly target: MongoCollection;
  readonly contract: Contract;
  readonly accepted: readonly string[];
  /** The name of the contract's own index in this database; undefined for a query without an index. */
  readonly own: string | undefined;
}

/** @throws UnreachableError */
export async function isFerret(db: Db): Promise<boolean> {
  return reach(() => isFerretServer(db));
}

/** @throws UnreachableError */
export async function readCollection(target: Omit<MongoTarget, "collation">): Promise<MongoCollection> {
  return reach(async () => {
    const { db, name, limitMs } = target;
    const [info] = await db.listCollections({ name }).toArray();
    const collection = db.collection(name);
    const some = info ? await collection.countDocuments({}, { limit: SMALL_DOCUMENTS, maxTimeMS: limitMs }) : 0;
    const specs = info && info.type !== "view" ? await collection.listIndexes().toArray().catch(noNamespace) : [];
    return {
      ...target,
      exists: info !== undefined,
      size: some === 0 ? "empty" : some < SMALL_DOCUMENTS ? "small" : "large",
      specs: specs as Document[],
      collation: collationOf(info),
    };
  });
}

export async function verifyOnMongo(options: MongoContract): Promise<Judgement> {
  try {
    return await reach(() => verify(options));
  } catch (error) {
    if (!(error instanceof MongoServerError)) throw error;
    return refused(`the server refuses the query: ${messageOf(error)}`);
  }
}

async function verify({ target, contract, accepted, own }: MongoContract): Promise<Judgement> {
  if (!target.exists) return refused("there is no such collection");
  const spec = target.specs.find(({ name }) => name === own);
  const { query, isReal } = await filledQuery(target, contract);
  const first = await explainOnMongo(target, contract, query);
  const plan = withoutItsSort(first.plan, target);
  const isHeld = keepsShape(contract, accepted, plan);
  const unproven = spec ? unprovenOf(target, spec, contract, query) : [];
  const hinted =
    isHeld || !spec || unproven.length > 0 ? undefined : await tryHint(target, contract, query, own as string);
  const forced = hinted && withoutItsSort(hinted.plan, target);
  const isPossible = keepsShape(contract, accepted, forced, true);
  const isServed = async (changed: Query) => {
    const other = await tryHint(target, contract, changed, own as string);
    return other !== undefined && goesThrough(other.plan, [own as string], true);
  };
  const reasons =
    isHeld || isPossible || own === undefined
      ? []
      : spec
        ? await mongoReasons({ spec, contract, query, collectionCollation: target.collation, isServed, unproven })
        : [`there is no index ${own}`];
  // FerretDB's planner ignores the sort order, so of indexes with the same first keys it may take any.
  const isBlind = target.isFerret && !isHeld && isPossible && first.plan.sorts.length > 0;
  const { maxMs } = contract;
  const answered =
    maxMs === undefined || first.isCutOff ? undefined : await measureOnMongo(target, contract, query, maxMs);
  const isTooLong = first.isCutOff || (maxMs !== undefined && answered === undefined);
  return judgeContract(contract, accepted, {
    plan,
    forced,
    size: isBlind && target.size === "large" ? "small" : target.size,
    isReal: isReal || (own !== undefined && !spec && !isHeld), // more data would not help: the index is missing
    reasons,
    advice: isBlind
      ? [`this server took ${indexNames(plan).join(", ") || "no index"}; its planner ignores the sort order`]
      : [],
    ms: answered?.ms ?? first.ms,
    returned: answered?.answer,
    warnings: arrayWarnings(target.name, contract, query, accepted, [plan, forced]),
    untold: untold(first.plan, target),
    ...(isTooLong ? { endedAfterMs: target.limitMs } : {}),
  });
}

/**
 * Terms of the partial filter that the query does not imply. FerretDB obeys a hint even then, so the hint proves
 * nothing.
 */
function unprovenOf({ isFerret, collation }: MongoCollection, spec: Document, contract: Contract, query: Query) {
  const partial = spec["partialFilterExpression"] as Document | undefined;
  if (!isFerret || !partial) return [];
  return unprovenTerms(partial, leadingFilter(query), collationText(contract.collation ?? collation) !== "");
}

/** FerretDB sorts even where the index has the order, so its sort says nothing about the contract. */
function withoutItsSort(plan: PlanFacts, { isFerret }: MongoTarget): PlanFacts {
  return isFerret ? { ...plan, sorts: [] } : plan;
}

function untold({ sorts }: PlanFacts, { isFerret }: MongoTarget): Check[] {
  return isFerret && sorts.length > 0 ? ["no sort"] : [];
}

/**
 * A hint for an index that cannot serve is refused (undefined), or obeyed by a full read of it, which its bounds show.
 */
async function tryHint(
  target: MongoTarget,
  contract: Contract,
  query: Query,
  hint: string,
): Promise<MongoExplained | undefined> {
  try {
    return await explainOnMongo(target, contract, query, { hint });
  } catch (error) {
    if (!(error instanceof MongoServerError)) throw error;
    return undefined;
  }
}

function noNamespace(error: unknown): [] {
  if (serverCode(error) === NO_NAMESPACE) return [];
  throw error;
}

async function reach<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isConnectionLoss(error)) throw error;
    throw new UnreachableError(`MongoDB does not answer: ${messageOf(error)}`, { cause: error });
  }
}
