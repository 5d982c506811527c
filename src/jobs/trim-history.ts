import { defineJob } from "../task/job.ts";
import { occurrencePayload } from "../task/payload.ts";

/** Removes what is past its retention: changes, finished runs, rows kept for an undo, audits; and malformed fields without a row. */
export const trimHistory = defineJob({
  name: "trim-history",
  payload: occurrencePayload,
  needs: ["history"],
  timeoutMs: 60 * 60_000,
  id: ({ slot }) => `trim-history|${slot}`,
  async run(_payload, { history, log, signal }) {
    const trimmed = { changes: 0, runs: 0, undo: 0, audits: 0, malformed: 0 };
    const work = {
      changes: () => history.trimChanges(),
      undo: () => history.trimUndo(),
      runs: () => history.trimRuns(),
      audits: () => history.trimAudits(),
      malformed: () => history.trimMalformed(),
    };
    for (const part of Object.keys(work) as (keyof typeof work)[]) {
      let removed: number;
      do {
        signal.throwIfAborted();
        removed = await work[part]();
        trimmed[part] += removed;
      } while (removed > 0);
    }
    if (Object.values(trimmed).some((count) => count > 0)) log.info(trimmed, "history trimmed");
    return trimmed;
  },
});
