import type { Db } from "mongodb";
import { UsageError } from "../../../errors.ts";
import type { MongoIndex } from "../../manifest/manifest.ts";
import { buildingNames, listIndexes } from "./catalog.ts";
import { mongoForm, mongoSpec } from "./normal-form.ts";

/** An index equal in these parts serves the same reads, whether or not it is unique or has a TTL. */
const SERVING = ["keys", "collation", "partial", "sparse", "hidden"] as const;

/**
 * For each required index the name of one that serves all its reads: over the whole collection, in the simple collation,
 * neither hidden nor still being built. Its own name is preferred; a replacement has another.
 *
 * @returns declared name -> name of the index that serves, without those that none serves
 * @throws UsageError if the collection does not exist, or is none whose events can be read through an index
 */
export async function servingOnMongo(
  db: Db,
  collection: string,
  required: readonly MongoIndex[],
): Promise<ReadonlyMap<string, string>> {
  await requireCollection(db, collection);
  const [specs, building] = await Promise.all([listIndexes(db, collection), buildingNames(db, collection)]);
  const ready = specs
    .map((spec) => ({ name: String(spec["name"]), form: mongoForm(spec) }))
    .filter(({ name }) => !building.has(name));
  return new Map(
    required.flatMap((index) => {
      const wanted = mongoForm(mongoSpec(index));
      const serving = ready.filter(({ form }) => SERVING.every((part) => form[part] === wanted[part]));
      const [first] = serving.toSorted((a, b) => Number(b.name === index.name) - Number(a.name === index.name));
      return first ? [[index.name, first.name] as const] : [];
    }),
  );
}

/** A view has no index of its own; the documents of a time-series collection are buckets of events. */
async function requireCollection(db: Db, name: string): Promise<void> {
  const [info] = await db.listCollections({ name }, { nameOnly: true, authorizedCollections: true }).toArray();
  if (!info) {
    throw new UsageError(
      `The database ${db.databaseName} has no collection ${name}. Check the path of MONGODB_URI ` +
        "and EVENTS_COLLECTION; if they are right and no event is stored yet, run: tallyman indexes ensure",
    );
  }
  if (info.type === "view" || info.type === "timeseries") {
    const what = info.type === "view" ? "a view" : "a time-series collection";
    throw new UsageError(
      `${name} is ${what}, whose events cannot be read through an index on ` +
        "tenant and time. Set EVENTS_COLLECTION to the collection that the events are inserted into; it must be an ordinary one.",
    );
  }
}
