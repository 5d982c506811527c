import type { Document, Int32, Long } from "mongodb";
import { DIMENSIONS } from "../../usage/dimensions.ts";
import type { EventField, FieldMap } from "../../usage/event.ts";
import { MALFORMED_REASONS, type MalformedField, type MalformedReason } from "../../usage/malformed.ts";
import { MEASURE_MAX, SUMMED } from "../../usage/measures.ts";
import { isId } from "./invisible-reason.ts";
import { isMissing, matchRange, type TenantRange } from "./pipeline.ts";
import { showId } from "./show-id.ts";

/** Malformed values of one field, reason and type, as the server counts them: `_id` is "field|reason|type". */
export interface MalformedGroup {
  readonly _id: string;
  readonly n: Int32 | Long;
  readonly sample: unknown;
}

/**
 * Counts the malformed values of a range by field, reason and BSON type, each with one event's `_id`. An event with
 * several malformed fields counts under each. What is malformed is what the strict pipeline and the decoding of keys take
 * for malformed. The events of each group are few, so this costs about a third of the strict pipeline.
 */
export function malformedPipeline(range: TenantRange, fields: FieldMap): Document[] {
  const faults = [
    ...DIMENSIONS.map((dimension) => keyFault(dimension.field, `$${fields[dimension.field]}`, "isId" in dimension)),
    ...SUMMED.map(({ field, kind }) => measureFault(field, `$${fields[field]}`, kind)),
  ];
  return [
    { $match: matchRange(range, fields) },
    { $project: { fault: { $setDifference: [faults, [null]] } } },
    { $unwind: "$fault" },
    { $group: { _id: "$fault", n: { $sum: 1 }, sample: { $first: "$_id" } } },
  ];
}

function keyFault(field: EventField, path: string, isIdField: boolean): Document {
  const isText = { $eq: [{ $type: path }, "string"] };
  const isKey = isIdField ? { $or: [isText, isId(path)] } : isText;
  return { $cond: [{ $or: [isMissing(path), isKey] }, null, fault(field, "wrongType", path)] };
}

/** NaN lies below every number in the servers' order, so it is below the lowest of them. */
function measureFault(field: EventField, path: string, kind: "whole" | "cost"): Document {
  const branches: readonly (readonly [MalformedReason, Document])[] = [
    ["wrongType", { $not: [{ $isNumber: path }] }],
    ["notANumber", { $lt: [path, -Infinity] }],
    ["negative", { $lt: [path, 0] }],
    ["tooLarge", { $gt: [path, MEASURE_MAX] }],
    ...(kind === "whole" ? ([["fraction", { $ne: [path, { $trunc: path }] }]] as const) : []),
  ];
  const first = branches.reduceRight<Document | null>(
    (rest, [reason, holds]) => ({ $cond: [holds, fault(field, reason, path), rest] }),
    null,
  );
  return { $cond: [isMissing(path), null, first] };
}

function fault(field: EventField, reason: MalformedReason, path: string): Document {
  return { $concat: [`${field}|${reason}|`, { $type: path }] };
}

/** Folds groups: one entry for each field and reason, with the type that most of its events have. */
export function decodeMalformed(groups: readonly MalformedGroup[]): MalformedField[] {
  const order = MALFORMED_REASONS as readonly string[];
  const folded = new Map<string, MalformedField & { readonly most: number }>();
  for (const { _id, n, sample } of groups) {
    const [field, reason, type] = _id.split("|") as [EventField, MalformedReason, string];
    const events = Number(n.toString());
    const before = folded.get(`${field}|${reason}`);
    const kept = before && before.most >= events ? before : { found: type, sampleId: showId(sample), most: events };
    folded.set(`${field}|${reason}`, { field, reason, ...kept, events: (before?.events ?? 0) + events });
  }
  return [...folded.values()]
    .map(({ most: _, ...entry }) => entry)
    .sort((a, b) =>
      a.field < b.field ? -1 : a.field > b.field ? 1 : order.indexOf(a.reason) - order.indexOf(b.reason),
    );
}
