import { defineJob } from "../task/job.ts";
import { occurrencePayload } from "../task/payload.ts";

/** Creates missing declared indexes in both databases; an index whose build blocks writers is left to an operator. */
export const ensureIndexes = defineJob({
  name: "ensure-indexes",
  payload: occurrencePayload,
  needs: ["ensureIndexes"],
  timeoutMs: 6 * 60 * 60_000,
  id: ({ slot }) => `ensure-indexes|${slot}`,
  async run(_payload, { ensureIndexes, log, signal }) {
    const { entries, ok } = await ensureIndexes(signal);
    const touched = entries.filter(({ action }) => action !== "present");
    if (touched.length > 0) log.info({ ok, entries: touched }, "indexes differ from what is declared");
    return { ok, present: entries.length - touched.length, others: touched.length };
  },
});
