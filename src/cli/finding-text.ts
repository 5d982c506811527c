import { DIMENSIONS } from "../usage/dimensions.ts";
import type { Finding, InvisibleSample, SourceField } from "../usage/finding.ts";
import type { InvisibleReason } from "../usage/invisible.ts";

/** What invisible events are like, after "events". */
export const INVISIBLE_TEXTS: Readonly<Record<InvisibleReason, string>> = {
  tenantMissing: "without a tenant",
  tenantType: "with a tenant that is no id",
  tenantEmpty: "with an empty tenant",
  tenantTooLong: "with a tenant over 512 bytes",
  tenantHoldsNul: "with NUL in the tenant",
  createdAtMissing: "without a time",
  createdAtType: "with a time that is no date",
  dayOutOfRange: "before 2000 or after tomorrow",
};

/** A finding in a few words, for a list of runs. */
export function findingNote({ kind }: Finding): string {
  return {
    emptyCollection: "no event",
    invisible: "events invisible",
    otherDays: "no event on these days",
    beforeHorizon: "before the horizon",
    fieldAbsent: "field absent",
    notSampled: "no tenant-day",
  }[kind];
}

/** What a finding says and what to do about it, a sentence a line. */
export function findingLines(finding: Finding): string[] {
  const { kind, collection, sampled, days, error } = finding;
  switch (kind) {
    case "emptyCollection":
      return [
        `no tenant-day: the collection ${collection} has no event.`,
        "Check EVENTS_COLLECTION, and the database in MONGODB_URI.",
        ...knownDays(finding),
      ];
    case "otherDays":
      return days
        ? ["no tenant-day in this range.", ...knownDays(finding)]
        : [
            `no tenant-day: these tenants have no event, and the newest ${number(sampled)} events of ${collection} belong to others.`,
          ];
    case "beforeHorizon":
      return [
        "no tenant-day: the events of all these days may be deleted already, by the TTL index or EVENTS_RETENTION_DAYS.",
      ];
    case "notSampled":
      return [
        `no tenant-day, and it is unknown why: ${error ?? "no sample"}.`,
        `Look at an event of ${collection} by hand: has it the fields that EVENTS_FIELDS names, and a date as its time?`,
        ...knownDays(finding),
      ];
    case "invisible": {
      const unseen = finding.invisible.reduce((sum, { events }) => sum + events, 0);
      return [
        `no tenant-day: rebuilds cannot see ${number(unseen)} of the ${number(sampled)} sampled events of ${collection}.`,
        ...finding.invisible.map(invisibleLine),
        ...absentLines(finding),
        finding.absent.length > 0
          ? "Set EVENTS_FIELDS to the right names (then: tallyman migrate settings), or let the producer write these fields."
          : "Let the producer write a tenant id and a date (of type date), or name the fields that hold them in EVENTS_FIELDS.",
        ...knownDays(finding),
      ];
    }
    case "fieldAbsent":
      return [
        ...absentLines(finding),
        "If a name is misspelt, correct EVENTS_FIELDS (then: tallyman migrate settings).",
      ];
  }
}

function invisibleLine({ reason, events, found, sampleId }: InvisibleSample): string {
  const type = reason === "tenantType" || reason === "createdAtType" ? ` (${found})` : "";
  return `${number(events)} ${INVISIBLE_TEXTS[reason]}${type}, for example _id ${sampleId}.`;
}

function absentLines({ absent, sampled, present }: Finding): string[] {
  if (absent.length === 0) return [];
  return [
    ...absent.map(
      (one) => `None of the ${number(sampled)} has the field ${one.path}, read as ${one.field}${effectOf(one)}.`,
    ),
    `The newest events have: ${present.join(", ") || "no field"}.`,
  ];
}

function effectOf({ field }: SourceField): string {
  if (field === "tenant_id" || field === "created_at") return "";
  const isKey = DIMENSIONS.some((dimension) => dimension.field === field);
  return isKey ? ", so every row has it as __unknown__" : field === "total_tokens" ? "" : ", so every row has it as 0";
}

function knownDays({ days }: Finding): string[] {
  return days ? [`The tenants have events or rows from ${days.from} to ${days.to}.`] : [];
}

const number = (n: number | null): string => (n ?? 0).toLocaleString("en");
