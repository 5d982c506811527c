import type { Collection } from "mongodb";
import { UsageError } from "../../errors.ts";
import type { FieldMap } from "../../usage/event.ts";
import type { Retention } from "../../usage/horizon.ts";

const DAY_SECONDS = 86_400;

/**
 * For how long the events are kept: the stricter of the collection's TTL index on the event's time and of
 * `retentionDays`. A TTL index that is partial counts like a whole one: it deletes some events of a day.
 *
 * @throws UsageError if a TTL index on another field deletes events, so that the whole days are not known, and
 * `retentionDays` is not set
 */
export async function readRetention(
  collection: Collection,
  fields: FieldMap,
  retentionDays: number | undefined,
): Promise<Retention> {
  const given = retentionDays === undefined ? undefined : retentionDays * DAY_SECONDS;
  const limits = given === undefined ? [] : [given];
  const indexes = (await collection.indexes()) as { key: Record<string, unknown>; expireAfterSeconds?: unknown }[];
  for (const { key, expireAfterSeconds } of indexes) {
    if (expireAfterSeconds === undefined || expireAfterSeconds === null) continue;
    const [field = ""] = Object.keys(key);
    if (field === fields.created_at) {
      const seconds = Number(expireAfterSeconds);
      limits.push(Number.isFinite(seconds) ? seconds : 0); // MongoDB takes NaN for 0
    } else if (given === undefined) {
      throw new UsageError(
        `${collection.collectionName} has a TTL index on ${field}, so ${fields.created_at} does not show which days are ` +
          `still whole. Set EVENTS_RETENTION_DAYS to the days after which an event may be deleted.`,
      );
    }
  }
  return limits.length === 0 ? undefined : Math.min(...limits);
}
