import type { Collection, CollationOptions } from "mongodb";
import { cannotTell, equals, refusal, show, type Assumption, type Outcome, type Scratch } from "../assumption.ts";

/** Upper and lower case are one. */
const LOOSE: CollationOptions = { locale: "en", strength: 2 };
const SIMPLE: CollationOptions = { locale: "simple" };
const NONE = cannotTell("it has no collations");

/** On a collection whose default collation is LOOSE, with "ACME" and "acme"; cannot tell where there are none. */
async function onLoose({ db, fresh }: Scratch, work: (collection: Collection) => Promise<Outcome>): Promise<Outcome> {
  const collection = fresh();
  const refused = await refusal(db.createCollection(collection.collectionName, { collation: LOOSE }));
  const [info] = refused ? [] : await db.listCollections({ name: collection.collectionName }).toArray();
  const options = (info as { options?: { collation?: unknown } } | undefined)?.options;
  if (refused || !options?.collation) {
    return { observed: `no collations: ${refused?.message ?? "the option is ignored"}`, holds: undefined };
  }
  await collection.insertMany([{ v: "ACME" }, { v: "acme" }]);
  return work(collection);
}

export const COLLATIONS: readonly Assumption[] = [
  {
    id: "reads-inherit-a-collation",
    says: 'A read without a collation has the default one of its collection; { locale: "simple" } overrides it.',
    why: "Two tenants whose names differ in case are two tenants.",
    source: "jstests/core/query/collation/collation.js; manual, Collation (locale simple)",
    heldBy: ["test/integration/data/event-collection.test.ts"],
    check: (scratch) =>
      onLoose(scratch, async (collection) => {
        const inherited = await collection.find({ v: "acme" }).toArray();
        const simple = await collection.find({ v: "acme" }, { collation: SIMPLE }).toArray();
        return equals([inherited.length, simple.length], [2, 1]);
      }),
    ferret: NONE,
  },
  {
    id: "groups-inherit-a-collation",
    says: 'So has $group: it puts both into one group, and with { locale: "simple" } into two.',
    why: "Two models whose names differ in case are two models.",
    source: "jstests/aggregation/expressions/collation_expressions.js; manual, Collation",
    heldBy: ["test/integration/data/event-collection.test.ts"],
    check: (scratch) =>
      onLoose(scratch, async (collection) => {
        const pipeline = [{ $group: { _id: "$v" } }];
        const inherited = await collection.aggregate(pipeline).toArray();
        const simple = await collection.aggregate(pipeline, { collation: SIMPLE }).toArray();
        return equals([inherited.length, simple.length], [1, 2]);
      }),
    ferret: NONE,
  },
  {
    id: "indexes-inherit-a-collation",
    says: 'An index without a collation inherits the collection\'s and is listed with it; one with { locale: "simple" } is listed without any.',
    why: "A listed index without a collation is a simple one, also on such a collection.",
    source: "jstests/core/query/collation/collation.js; mongo/db/index_key_validate.cpp",
    heldBy: ["test/unit/indexes/mongo-shape.test.ts", "test/unit/indexes/mongo-collation.test.ts"],
    check: (scratch) =>
      onLoose(scratch, async (collection) => {
        await collection.createIndex({ v: 1 }, { name: "inherited" });
        await collection.createIndex({ v: 1 }, { name: "simple", collation: SIMPLE });
        const listed = await collection.listIndexes().toArray();
        const localeOf = (wanted: string) =>
          (listed.find(({ name }) => name === wanted) as { collation?: { locale: string } } | undefined)?.collation
            ?.locale;
        const observed = { inherited: localeOf("inherited") ?? null, simple: localeOf("simple") ?? null };
        return { observed: show(observed), holds: observed.inherited === "en" && observed.simple === null };
      }),
    ferret: NONE,
  },
];
