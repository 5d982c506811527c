import { auditOccurrence } from "../audit/audit.ts";
import { needsOperator } from "../usage/finding.ts";
import { AUDITING } from "../task/context.ts";
import { defineJob } from "../task/job.ts";
import { occurrencePayload } from "../task/payload.ts";

/** Tenant-days of drift that are logged; the audit's row lists more. */
const LOGGED = 100;

/** Compares a random sample of final tenant-days with their events, once an occurrence. It changes no row. */
export const auditSample = defineJob({
  name: "audit-sample",
  payload: occurrencePayload,
  needs: AUDITING,
  timeoutMs: 60 * 60_000,
  id: ({ slot }) => `audit-sample|${slot}`,
  async run({ slot }, context) {
    const report = await auditOccurrence(slot, context);
    if (!report) return { audited: false };
    const { id, days, drift, failed, finding } = report;
    if (finding && needsOperator(finding)) context.log.warn({ audit: id, finding }, "the audit found no tenant-day");
    const found = drift.slice(0, LOGGED);
    if (found.length > 0) context.log.error({ audit: id, days, drift: found }, "rows differ from their events");
    if (failed.length > 0)
      context.log.error({ audit: id, failed: failed.slice(0, LOGGED) }, "tenant-days could not be audited");
    return { audited: true, ...days };
  },
});
