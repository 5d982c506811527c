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
