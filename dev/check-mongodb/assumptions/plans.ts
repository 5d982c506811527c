import type { Collection } from "mongodb";
import { readMongoPlan } from "../../../src/indexes/engines/mongo/verify/plan.ts";
import { indexNames } from "../../../src/indexes/contract/plan-facts.ts";
import { cannotTell, show, stagesOf, type Assumption, type Outcome, type Scratch } from "../assumption.ts";

const FERRET = cannotTell("its plans are those of PostgreSQL");

async function filled({ fresh }: Scratch): Promise<Collection> {
  const collection = fresh();
  await collection.createIndex({ a: 1, b: 1 }, { name: "by_a" });
  await collection.insertMany(Array.from({ length: 100 }, (_, n) => ({ a: n % 10, b: n, c: n })));
  return collection;
}

/** What the reader of plans makes of an explained command; cannot tell where the plan has another form. */
async function read(
  scratch: Scratch,
  command: (name: string) => object,
  judge: (facts: ReturnType<typeof readMongoPlan>) => boolean,
): Promise<Outcome> {
  const { collectionName } = await filled(scratch);
  const verbosity = "executionStats";
  const isFerret = "ferretdb" in (await scratch.db.command({ buildInfo: 1 }));
  if (isFerret) return { observed: "no plan in MongoDB's form", holds: undefined };
  const reply = await scratch.db.command({ explain: command(collectionName), verbosity });
  const facts = readMongoPlan(reply);
  const observed = { stages: stagesOf(reply), indexes: indexNames(facts), covered: facts.covered, work: facts.work };
  return { observed: show(observed), holds: judge(facts) };
}

export const PLANS: readonly Assumption[] = [
  {
    id: "plan-of-a-find",
    says: "explain of a find names the index under winningPlan, in the classic form or under queryPlan, and counts what was examined.",
    why: "indexes verify judges by it.",
    source: "jstests/libs/query/analyze_plan.js; manual, Explain Results",
    heldBy: ["test/unit/indexes/verify/mongo-plan.test.ts"],
    check: (scratch) =>
      read(
        scratch,
        (find) => ({ find, filter: { a: 3 } }),
        (facts) => indexNames(facts).join() === "by_a" && facts.work?.returned === 10 && facts.work.examined === 10,
      ),
    ferret: FERRET,
  },
  {
    id: "plan-of-an-aggregate",
    says: "explain of an aggregate has the plan of its first stages under stages.$cursor, or like a find; the documents that went into a $group are counted.",
    why: "The contract of a rebuild is an aggregation.",
    source: "jstests/libs/query/analyze_plan.js",
    heldBy: ["test/unit/indexes/verify/mongo-plan.test.ts", "test/mongodb/contracts.test.ts"],
    check: (scratch) =>
      read(
        scratch,
        (aggregate) => ({
          aggregate,
          pipeline: [{ $match: { a: 3 } }, { $group: { _id: "$c", n: { $sum: 1 } } }],
          cursor: {},
        }),
        (facts) => indexNames(facts).join() === "by_a" && facts.work?.returned === 10,
      ),
    ferret: FERRET,
  },
  {
    id: "plan-of-a-full-scan",
    says: "A read of the whole collection is the stage COLLSCAN.",
    why: "verify tells it from the use of an index.",
    source: "jstests/libs/query/analyze_plan.js",
    heldBy: ["test/unit/indexes/verify/mongo-plan.test.ts"],
    check: (scratch) =>
      read(
        scratch,
        (find) => ({ find, filter: { c: 3 } }),
        ({ accesses }) => accesses.length > 0 && accesses.every(({ index }) => index === undefined),
      ),
    ferret: FERRET,
  },
  {
    id: "plan-that-is-covered",
    says: "A query that the index alone answers has no stage FETCH.",
    why: "A contract may say that its query is covered.",
    source: "manual, Covered Query; jstests/core/index/covered/covered_index_simple_1.js",
    heldBy: ["test/unit/indexes/verify/mongo-plan.test.ts"],
    check: (scratch) =>
      read(
        scratch,
        (find) => ({ find, filter: { a: 3 }, projection: { _id: 0, a: 1, b: 1 } }),
        ({ covered }) => covered === true,
      ),
    ferret: FERRET,
  },
  {
    id: "plan-of-a-sort",
    says: "A sort that no index gives is a stage SORT; one that an index gives has none.",
    why: "A contract may say that its query sorts nothing.",
    source: "jstests/libs/query/analyze_plan.js; manual, Explain Results",
    heldBy: ["test/unit/indexes/verify/mongo-plan.test.ts"],
    check: async (scratch) => {
      const sorted = (sort: object) => (find: string) => ({ find, filter: { a: 3 }, sort });
      const served = await read(scratch, sorted({ b: 1 }), ({ sorts }) => sorts.length === 0);
      const blocking = await read(scratch, sorted({ c: 1 }), ({ sorts }) => sorts.length === 1);
      if (served.holds === undefined || blocking.holds === undefined) return served;
      return { observed: `${served.observed}; ${blocking.observed}`, holds: served.holds && blocking.holds };
    },
    ferret: FERRET,
  },
];
