import { Binary, Decimal128, type Collection, type Document } from "mongodb";
import type { DayBounds } from "../../usage/day.ts";
import { MAX_TENANT_BYTES, type FieldMap } from "../../usage/event.ts";
import { isMissing } from "./pipeline.ts";
import { aggregation, type ReadOptions } from "./read.ts";

/** Why no rebuild can see an event; an event with several reasons counts under the first. */
export const INVISIBLE_REASONS = [
  "tenantMissing",
  "tenantType",
  "tenantEmpty",
  "tenantTooLong",
  "tenantHoldsNul",
  "createdAtMissing",
  "createdAtType",
  "dayOutOfRange",
] as const;

export type InvisibleReason = (typeof INVISIBLE_REASONS)[number];

/** Counts of invisible events by reason, with every reason. */
export type InvisibleCounts = Readonly<Record<InvisibleReason, number>>;

const INT64 = {
  least: Decimal128.fromString("-9223372036854775808"),
  most: Decimal128.fromString("9223372036854775807"),
};

/** The servers order binary values by length, then subtype, then bytes: exactly the UUIDs lie between these two. */
const UUIDS = {
  first: new Binary(Buffer.alloc(16, 0x00), Binary.SUBTYPE_UUID),
  last: new Binary(Buffer.alloc(16, 0xff), Binary.SUBTYPE_UUID),
};

/**
 * Counts the events of the whole collection that no rebuild can see: one group for each reason, and one for all visible
 * events. An array on the path to a nested field makes its value an array, which is a wrong type.
 *
 * @param visible from the start of the first day that counts to the end of tomorrow
 */
export function invisiblePipeline(visible: DayBounds, fields: FieldMap): Document[] {
  const [tenant, createdAt] = [`$${fields.tenant_id}`, `$${fields.created_at}`];
  const isText = { $eq: [{ $type: tenant }, "string"] };
  const branches: readonly (readonly [InvisibleReason, Document])[] = [
    ["tenantMissing", isMissing(tenant)],
    ["tenantType", { $not: { $or: [isText, isId(tenant)] } }],
    ["tenantEmpty", { $eq: [tenant, ""] }],
    ["tenantTooLong", { $cond: [isText, { $gt: [{ $strLenBytes: tenant }, MAX_TENANT_BYTES] }, false] }],
    ["tenantHoldsNul", { $cond: [isText, { $gte: [{ $indexOfBytes: [tenant, "\0"] }, 0] }, false] }],
    ["createdAtMissing", isMissing(createdAt)],
    ["createdAtType", { $ne: [{ $type: createdAt }, "date"] }],
    [
      "dayOutOfRange",
      { $or: [{ $lt: [createdAt, new Date(visible.start)] }, { $gte: [createdAt, new Date(visible.end)] }] },
    ],
  ];
  // Nested $cond rather than $switch: one stage, and no branch is evaluated after the first that holds.
  const reason = branches.reduceRight<Document | null>((rest, [name, holds]) => ({ $cond: [holds, name, rest] }), null);
  return [{ $group: { _id: reason, n: { $sum: 1 } } }];
}

/**
 * An ObjectId, a UUID, or a number that is an integer of 64 bits; `$cond` guards what fails on other types. Not by
 * `$trunc`: DocumentDB takes a double at 15 digits there, and from 10^15 on finds it to be no integer.
 */
function isId(path: string): Document {
  const isInteger = { $eq: [path, { $toLong: path }] };
  const isInRange = { $and: [{ $gte: [path, INT64.least] }, { $lte: [path, INT64.most] }] };
  const isUuid = { $and: [{ $gte: [path, UUIDS.first] }, { $lte: [path, UUIDS.last] }] };
  return {
    $cond: [
      { $isNumber: path },
      { $cond: [isInRange, isInteger, false] },
      {
        $or: [
          { $eq: [{ $type: path }, "objectId"] },
          { $cond: [{ $eq: [{ $type: path }, "binData"] }, isUuid, false] },
        ],
      },
    ],
  };
}

/** Counts the invisible events of one collection. */
export class InvisibleReader {
  readonly #collection: Collection;
  readonly #fields: FieldMap;

  constructor(collection: Collection, fields: FieldMap) {
    this.#collection = collection;
    this.#fields = fields;
  }

  /** Reads every event of the collection. */
  async count(visible: DayBounds, options: ReadOptions): Promise<InvisibleCounts> {
    const groups = await this.#collection
      .aggregate<{ _id: InvisibleReason | null; n: number }>(invisiblePipeline(visible, this.#fields), {
        ...aggregation(this.#fields, options, "tallyman audit"),
        promoteValues: true,
      })
      .toArray();
    const counts = new Map(groups.map(({ _id, n }) => [_id, n]));
    return Object.fromEntries(INVISIBLE_REASONS.map((reason) => [reason, counts.get(reason) ?? 0])) as InvisibleCounts;
  }
}
