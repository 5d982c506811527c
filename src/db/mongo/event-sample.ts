import type { Document, Int32, Long } from "mongodb";
import type { DayBounds } from "../../usage/day.ts";
import { EVENT_FIELDS, type EventField, type FieldMap } from "../../usage/event.ts";
import type { EventSample, InvisibleSample } from "../../usage/finding.ts";
import type { InvisibleReason } from "../../usage/invisible.ts";
import { idCandidates } from "./ids.ts";
import { invisibleReason } from "./invisible-reason.ts";
import { isMissing } from "./pipeline.ts";
import { showId } from "./show-id.ts";

/** Events in a sample: some milliseconds of work where they are small. */
const SAMPLED = 1_000;
/** Events whose field names are listed, and how many names. */
const NAMED = { events: 20, names: 40 };

/**
 * The events to sample: `newest` by `_id`; `tenants` = these tenants' events; `tenantsWithoutDate` = those of them whose
 * time is no date.
 */
export type Sampled =
  | { readonly which: "newest" }
  | { readonly which: "tenants" | "tenantsWithoutDate"; readonly tenants: readonly string[] };

/** The server took too long for a sample, or refused it. */
export class SampleError extends Error {
  override readonly name = "SampleError";
}

/** Sampled events with equal types, as the server counts them. */
export type SampledGroup = Readonly<Record<`has_${EventField}`, Int32>> & {
  readonly _id: { readonly reason?: InvisibleReason | null; readonly tenant: string; readonly createdAt: string };
  readonly n: Int32 | Long;
  readonly sample: unknown;
};

/** Judges some events as invisiblePipeline() judges all, and tells which fields of ours they have. */
export function samplePipeline(sampled: Sampled, visible: DayBounds, fields: FieldMap): Document[] {
  const type = (field: EventField) => ({ $type: `$${fields[field]}` });
  const has = EVENT_FIELDS.map((field): [string, Document] => [
    `has_${field}`,
    { $max: { $cond: [isMissing(`$${fields[field]}`), 0, 1] } },
  ]);
  return [
    ...chosen(sampled, fields),
    { $limit: SAMPLED },
    {
      $group: {
        _id: { reason: invisibleReason(visible, fields), tenant: type("tenant_id"), createdAt: type("created_at") },
        n: { $sum: 1 },
        sample: { $first: "$_id" },
        ...Object.fromEntries(has),
      },
    },
  ];
}

function chosen(sampled: Sampled, fields: FieldMap): Document[] {
  if (sampled.which === "newest") return [{ $sort: { _id: -1 } }];
  const tenant = { [fields.tenant_id]: { $in: sampled.tenants.flatMap(idCandidates) } };
  const time = sampled.which === "tenants" ? {} : { [fields.created_at]: { $not: { $type: "date" } } };
  return [{ $match: { ...tenant, ...time } }];
}

/** Folds the groups of a sample: one entry for each reason, with the type that most of its events have. */
export function decodeSample(groups: readonly SampledGroup[], fields: FieldMap): EventSample {
  const byReason = new Map<InvisibleReason, InvisibleSample & { readonly most: number }>();
  let events = 0;
  for (const { _id, n, sample } of groups) {
    const count = Number(n.toString());
    events += count;
    const { reason } = _id;
    if (!reason) continue;
    const found = reason.startsWith("tenant") ? _id.tenant : _id.createdAt;
    const before = byReason.get(reason);
    const isMost = !before || count > before.most;
    byReason.set(reason, {
      reason,
      events: (before?.events ?? 0) + count,
      found: isMost ? found : before.found,
      sampleId: isMost ? showId(sample) : before.sampleId,
      most: isMost ? count : before.most,
    });
  }
  const absent = EVENT_FIELDS.filter((field) =>
    groups.every((group) => Number(group[`has_${field}`].toString()) === 0),
  );
  return {
    events,
    invisible: [...byReason.values()]
      .map(({ most: _, ...one }) => one)
      .sort((a, b) => b.events - a.events || (a.reason < b.reason ? -1 : 1)),
    absent: events === 0 ? [] : absent.map((field) => ({ field, path: fields[field] })),
  };
}

/** The names of the fields of the newest events, and those inside their subdocuments. No value leaves the server. */
export function namesPipeline(): Document[] {
  const inner = { $map: { input: { $objectToArray: "$$outer.v" }, as: "inner", in: "$$inner.k" } };
  const names = { name: "$$outer.k", inner: { $cond: [{ $eq: [{ $type: "$$outer.v" }, "object"] }, inner, []] } };
  return [
    { $sort: { _id: -1 } },
    { $limit: NAMED.events },
    { $project: { _id: 0, fields: { $map: { input: { $objectToArray: "$$ROOT" }, as: "outer", in: names } } } },
  ];
}

/** The names of the fields of one event. */
export interface NamedFields {
  readonly fields: readonly { readonly name: string; readonly inner: readonly string[] }[];
}

/** Field paths of events, each once, in their order, without `_id`. */
export function decodeNames(documents: readonly NamedFields[]): string[] {
  const names = documents.flatMap(({ fields }) =>
    fields.flatMap(({ name, inner }) => (inner.length === 0 ? [name] : inner.map((under) => `${name}.${under}`))),
  );
  return [...new Set(names)].filter((name) => name !== "_id").slice(0, NAMED.names);
}
