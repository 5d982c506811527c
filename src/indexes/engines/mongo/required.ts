import { MongoServerError, type Db } from "mongodb";
import { UsageError } from "../../../errors.ts";
import type { MongoIndex } from "../../manifest/manifest.ts";
import { mongoForm, mongoSpec } from "./normal-form.ts";

const NAMESPACE_NOT_FOUND = 26;
/** An index equal in these parts serves the same reads, whether or not it is unique or has a TTL. */
const SERVING = ["keys", "collation", "partial", "sparse", "hidden"] as const;

/**
 * The required indexes whose reads no index of the collection serves.
 * @throws UsageError if the collection does not exist
 */
export async function missingOnMongo(
  db: Db,
  collection: string,
  required: readonly MongoIndex[],
): Promise<readonly MongoIndex[]> {
  let specs: Record<string, unknown>[];
  try {
    specs = (await db.collection(collection).listIndexes().toArray()) as Record<string, unknown>[];
  } catch (error) {
    if (!(error instanceof MongoServerError) || Number(error.code) !== NAMESPACE_NOT_FOUND) throw error;
    throw new UsageError(
      `The database ${db.databaseName} has no collection ${collection}. Check the path of MONGODB_URI ` +
        "and EVENTS_COLLECTION; if they are right and no event is stored yet, run: tallyman indexes ensure",
    );
  }
  const forms = specs.map((spec) => mongoForm(spec));
  return required.filter((index) => {
    const wanted = mongoForm(mongoSpec(index));
    return !forms.some((form) => SERVING.every((part) => form[part] === wanted[part]));
  });
}
