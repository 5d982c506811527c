/** A collection with a collation of its own, which FerretDB has not: a stub answers as mongod does. */
import { BSON, type CollationOptions, type Db, type Document } from "mongodb";
import { expect, test } from "vitest";
import { usageManifest } from "../../../manifests/usage.ts";
import type { DeclaredForm } from "../../../src/indexes/decision/observation.ts";
import { stateOf } from "../../../src/indexes/decision/state.ts";
import { mongoForm, mongoSpec } from "../../../src/indexes/engines/mongo/normal-form.ts";
import { explainOnMongo, measureOnMongo } from "../../../src/indexes/engines/mongo/verify/explain.ts";
import type { MongoIndex } from "../../../src/indexes/manifest/manifest.ts";
import { engineOn } from "./mongod.ts";

const ENGLISH: CollationOptions = { locale: "en", strength: 2 };
/** As mongod lists it. */
const WRITTEN_OUT = {
  locale: "en",
  caseLevel: false,
  caseFirst: "off",
  strength: 2,
  numericOrdering: false,
  alternate: "non-ignorable",
  maxVariable: "punct",
  normalization: false,
  backwards: false,
  version: "57.1",
};
const SIMPLE: MongoIndex = { name: "one", why: "test", keys: [["tenant", 1]], collation: { locale: "simple" } };
const UNSAID: MongoIndex = { name: "one", why: "test", keys: [["tenant", 1]] };
const LISTED = { v: 2, key: { tenant: 1 }, name: "one" };

/** A database with one collection, and the commands it was sent. */
function stub({ collation, indexes = [] }: { collation?: object; indexes?: readonly Document[] }) {
  const sent: Document[] = [];
  const list = (items: readonly unknown[]) => ({ toArray: () => Promise.resolve(items) });
  const cursor = { [Symbol.asyncIterator]: async function* () {}, toArray: () => Promise.resolve([]) };
  const opened = (options: Document | undefined) => {
    if (options) sent.push(options);
    return cursor;
  };
  const db = {
    command(command: Document) {
      sent.push(command);
      return Promise.resolve("buildInfo" in command ? { version: "8.0.4", versionArray: [8, 0, 4, 0] } : { ok: 1 });
    },
    listCollections: () => list([{ name: "events", type: "collection", options: collation ? { collation } : {} }]),
    collection: () => ({
      listIndexes: () => list(indexes),
      find: (_filter: unknown, options?: Document) => opened(options),
      aggregate: (_pipeline: unknown, options?: Document) => opened(options),
      findOne: () => Promise.resolve({ _id: 1 }),
    }),
  };
  return { db: db as unknown as Db, sent };
}

const stateIn = async (collation: object | undefined, index: MongoIndex, listed: Document) => {
  const { db } = stub({ ...(collation ? { collation } : {}), indexes: [listed] });
  return stateOf(await (await engineOn(db, index)).observe("events"), "one");
};

test("a simple index is the declared one, listed as it is without a collation; an inherited one is another", async () => {
  expect(await stateIn(WRITTEN_OUT, SIMPLE, LISTED)).toEqual({ state: "present" });
  const inherited = await stateIn(WRITTEN_OUT, SIMPLE, { ...LISTED, collation: WRITTEN_OUT });
  expect(inherited).toMatchObject({ state: "different", parts: ["collation"] });
  expect(await stateIn(undefined, SIMPLE, LISTED)).toEqual({ state: "present" });
});

test("an index declared without a collation inherits that of the collection", async () => {
  expect(await stateIn(WRITTEN_OUT, UNSAID, { ...LISTED, collation: WRITTEN_OUT })).toEqual({ state: "present" });
  expect(await stateIn(WRITTEN_OUT, UNSAID, LISTED)).toMatchObject({ state: "different", parts: ["collation"] });
});

test("observing and requiring a simple index compare with the same normal form", async () => {
  const { db } = stub({ collation: WRITTEN_OUT });
  const { declared } = await (await engineOn(db, SIMPLE)).observe("events");
  expect(declared.get("one")).toMatchObject({ form: mongoForm(mongoSpec(SIMPLE)) });
});

test("a simple index is built with its collation said where the collection has one, and said nowhere else", async () => {
  for (const collation of [WRITTEN_OUT, undefined]) {
    const { db, sent } = stub(collation ? { collation } : {});
    const engine = await engineOn(db, SIMPLE);
    await engine.observe("events");
    await engine.create("events", "one");
    const [spec] = sent.find((command) => "createIndexes" in command)?.["indexes"] as [Document];
    expect(spec["collation"]).toEqual(collation ? { locale: "simple" } : undefined);
    const said = 'collation: { locale: "simple" }';
    if (collation) expect(engine.definition("events", "one")).toContain(said);
    else expect(engine.definition("events", "one")).not.toContain("collation");
  }
});

test("a rollback builds a listed index without a collation again as simple", async () => {
  const { db, sent } = stub({ collation: WRITTEN_OUT });
  const engine = await engineOn(db, UNSAID);
  const view = await engine.observe("events");
  const previous = BSON.EJSON.stringify({ key: { tenant: 1 }, name: "one" });
  const entry = { target: "events", name: "one", previous } as never;
  const { form } = view.declared.get("one") as DeclaredForm;
  await engine.replacement.restore(entry, { name: "one__abcdef", form, valid: true, building: false });
  const [spec] = sent.find((command) => "createIndexes" in command)?.["indexes"] as [Document];
  expect(spec).toEqual({ name: "one", key: { tenant: 1 }, collation: { locale: "simple" } });
});

test("a contract in the simple collation is explained and measured in it where the collection has another", async () => {
  const contract = { name: "c", collation: { locale: "simple" } };
  for (const collation of [ENGLISH, undefined]) {
    const { db, sent } = stub({});
    const target = { db, name: "events", isFerret: false, limitMs: 1000, collation };
    for (const query of [{ find: { filter: { tenant: "a" } } }, { aggregate: [] }, { count: {} }]) {
      await explainOnMongo(target, contract, query);
      await measureOnMongo(target, contract, query, 60_000);
    }
    const said = sent.map((command) => ((command["explain"] ?? command) as Document)["collation"] as unknown);
    expect(said.length).toBe(6);
    expect(said).toEqual(said.map(() => (collation ? { locale: "simple" } : undefined)));
  }
});

test("Tallyman's own indexes and their contracts are simple", () => {
  const fields = { tenant_id: "tenant", user_id: "user", created_at: "at" };
  const indexes = usageManifest({ collection: "events", fields }).mongo?.["events"] ?? [];
  expect(indexes.length).toBeGreaterThan(1);
  for (const { name, collation, contracts = [] } of indexes) {
    expect(collation, name).toEqual({ locale: "simple" });
    expect(contracts.length).toBeGreaterThan(0);
    for (const contract of contracts) expect(contract.collation, contract.name).toEqual({ locale: "simple" });
  }
});
