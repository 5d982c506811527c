/** Looks for duplicates that a unique index would refuse, before it is built. */
import type { Collection, CollationOptions, Document } from "mongodb";
import { isOutOfTime, isTooLarge } from "../../../mongo/errors.ts";
import type { MongoIndex } from "../../manifest/manifest.ts";
import { statedCollation } from "./collation.ts";

const SAMPLES = 5;
const PROBE_TIMEOUT_MS = 60_000;

/**
 * A missing field counts as null, as it does in the index. @returns some keys that several documents have, for a
 * person; undefined without duplicates, or if the search takes over PROBE_TIMEOUT_MS or
 * more memory than the server allows
 * @param ofCollection the collation of the collection, which the index and this search get unless the index names one
 */
export async function findDuplicates(
  collection: Collection,
  index: MongoIndex,
  ofCollection: CollationOptions | undefined,
): Promise<string | undefined> {
  if (index.unique !== true) return undefined;
  const fields = index.keys.map(([field]) => field);
  const key = Object.fromEntries(fields.map((field, at) => [`k${at}`, { $ifNull: [`$${field}`, null] }]));
  const present = { $or: fields.map((field) => ({ [field]: { $exists: true } })) };
  const match: Document = index.partial ?? (index.sparse === true ? present : {});
  const groups = await collection
    .aggregate<{ _id: Record<string, unknown>; n: number }>(
      [{ $match: match }, { $group: { _id: key, n: { $sum: 1 } } }, { $match: { n: { $gt: 1 } } }, { $limit: SAMPLES }],
      {
        maxTimeMS: PROBE_TIMEOUT_MS,
        allowDiskUse: true,
        comment: "tallyman indexes ensure",
        ...statedCollation(index.collation, ofCollection),
      },
    )
    .toArray()
    .catch((error: unknown) => {
      // Tiers that ignore allowDiskUse refuse to group more than fits into memory; the build finds the duplicates itself.
      if (isOutOfTime(error) || isTooLarge(error)) return [];
      throw error;
    });
  if (groups.length === 0) return undefined;
  const samples = groups.map(({ _id, n }) => `(${Object.values(_id).map(shortText).join(", ")}) ${n} times`);
  return `not unique: (${fields.join(", ")}) occurs as ${samples.join(", ")}. Remove the extra documents and run this again.`;
}

function shortText(value: unknown): string {
  return (typeof value === "string" ? value : JSON.stringify(value)).slice(0, 80);
}
