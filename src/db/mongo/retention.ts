import type { Collection } from "mongodb";
import { UsageError } from "../../errors.ts";
import type { FieldMap } from "../../usage/event.ts";
import type { Retention } from "../../usage/horizon.ts";

const DAY_SECONDS = 86_400;

/** What the server says about a collection and itself. */
export interface TtlAnswers {
  readonly collection: string;
  /** `listIndexes` */
  readonly indexes: readonly { readonly key: object; readonly expireAfterSeconds?: unknown }[];
  /** the options in `listCollections`, where a clustered collection has its TTL */
  readonly options: { readonly clusteredIndex?: unknown; readonly expireAfterSeconds?: unknown } | undefined;
  /** `versionArray` in `buildInfo` */
  readonly version: readonly number[];
}

/**
 * For how long the events are kept: the stricter of the collection's TTL on the event's time and of `retentionDays`. A
 * TTL index that is partial counts like a whole one: it deletes some events of a day.
 *
 * @throws UsageError if a TTL on another field deletes events, so that the whole days are not known, and `retentionDays`
 * is not set
 */
export async function readRetention(
  collection: Collection,
  fields: FieldMap,
  retentionDays: number | undefined,
): Promise<Retention> {
  const { db, collectionName: name } = collection;
  const [indexes, [info], { versionArray }] = await Promise.all([
    collection.indexes(),
    db.listCollections({ name }).toArray(),
    db.command({ buildInfo: 1 }),
  ]);
  const { options } = (info ?? {}) as Pick<TtlAnswers, "options">;
  return retentionOf({ collection: name, indexes, options, version: versionArray as number[] }, fields, retentionDays);
}

/** As readRetention(), from what the server says. */
export function retentionOf(answers: TtlAnswers, fields: FieldMap, retentionDays: number | undefined): Retention {
  const given = retentionDays === undefined ? undefined : retentionDays * DAY_SECONDS;
  const limits = given === undefined ? [] : [given];
  for (const { field, seconds } of ttls(answers)) {
    if (field === fields.created_at) {
      limits.push(seconds);
    } else if (given === undefined) {
      throw new UsageError(
        `${answers.collection} has a TTL on ${field}, so ${fields.created_at} does not show which days are ` +
          `still whole. Set EVENTS_RETENTION_DAYS to the days after which an event may be deleted.`,
      );
    }
  }
  return limits.length === 0 ? undefined : Math.min(...limits);
}

/** Every TTL: the field by whose time documents are deleted, and after how many seconds. */
function ttls({ indexes, options, version }: TtlAnswers): { field: string; seconds: number }[] {
  const set = indexes.map(({ key, expireAfterSeconds }) => ({ field: Object.keys(key)[0] ?? "", expireAfterSeconds }));
  if (options?.clusteredIndex) set.push({ field: "_id", expireAfterSeconds: options.expireAfterSeconds });
  return set
    .filter(({ expireAfterSeconds }) => expireAfterSeconds !== undefined && expireAfterSeconds !== null)
    .map(({ field, expireAfterSeconds }) => ({ field, seconds: secondsOf(Number(expireAfterSeconds), version) }))
    .filter(({ seconds }) => seconds < NEVER_SECONDS);
}

/** What servers make of NaN that take it for never: the largest value that a TTL may have, 68 years. */
const NEVER_SECONDS = 2 ** 31 - 1;

/**
 * A TTL of NaN is 0 from 5.0.0 to 5.0.13 and in 6.0.0 and 6.0.1, which delete everything at once; before it never
 * expires, and since it is the largest value (MongoDB's SERVER-68477).
 */
function secondsOf(ttl: number, [major = 0, minor = 0, patch = 0]: readonly number[]): number {
  if (!Number.isNaN(ttl)) return ttl;
  const isZero = (major === 5 && (minor > 0 || patch <= 13)) || (major === 6 && minor === 0 && patch <= 1);
  return isZero ? 0 : NEVER_SECONDS;
}
