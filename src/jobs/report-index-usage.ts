import { defineJob } from "../task/job.ts";
import { occurrencePayload } from "../task/payload.ts";

/** Reports cost and use of the declared indexes, and stores the report for the metrics. */
export const reportIndexUsage = defineJob({
  name: "report-index-usage",
  payload: occurrencePayload,
  needs: ["reportIndexUsage"],
  timeoutMs: 30 * 60_000,
  id: ({ slot }) => `report-index-usage|${slot}`,
  async run(_payload, { reportIndexUsage: report, log, signal }) {
    const { verdicts, ok, targets, notKept } = await report(signal);
    const alerts = verdicts.filter(({ level }) => level === "alert").length;
    if (!ok) log.error({ verdicts }, "indexes need attention");
    else if (verdicts.length > 0) log.warn({ verdicts }, "indexes could do better");
    if (notKept !== undefined) log.warn({ reason: notKept }, "the report on the indexes could not be kept");
    return { targets: targets.length, alerts, warnings: verdicts.length - alerts };
  },
});
