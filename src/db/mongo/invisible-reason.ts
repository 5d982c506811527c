import { Binary, Decimal128, type Document } from "mongodb";
import type { DayBounds } from "../../usage/day.ts";
import { MAX_TENANT_BYTES, type FieldMap } from "../../usage/event.ts";
import type { InvisibleReason } from "../../usage/invisible.ts";
import { isMissing } from "./pipeline.ts";

const INT64 = {
  least: Decimal128.fromString("-9223372036854775808"),
  most: Decimal128.fromString("9223372036854775807"),
};

/** The servers order binary values by length, then subtype, then bytes: exactly the UUIDs lie between these two. */
const UUIDS = {
  first: new Binary(Buffer.alloc(16, 0x00), Binary.SUBTYPE_UUID),
  last: new Binary(Buffer.alloc(16, 0xff), Binary.SUBTYPE_UUID),
};

/** The first reason why no rebuild can see an event, as an expression; null = rebuilds see it. */
export function invisibleReason(visible: DayBounds, fields: FieldMap): Document {
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
  return branches.reduceRight<Document | null>((rest, [name, holds]) => ({ $cond: [holds, name, rest] }), null) ?? {};
}

/**
 * An ObjectId, a UUID, or a number that is an integer of 64 bits; `$cond` guards what fails on other types. Not by
 * `$trunc`: DocumentDB takes a double at 15 digits there, and from 10^15 on finds it to be no integer.
 */
export function isId(path: string): Document {
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
