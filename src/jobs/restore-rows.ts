import type { Claim } from "../db/postgres/runs/claim.ts";
import { addCounts, noCounts, type BatchCounts } from "../db/postgres/cache/write.ts";
import { listTenantDays } from "../usage/plan.ts";
import { workOnChunk } from "../task/chunk.ts";
import { CHUNK_WORK, type ContextOf } from "../task/context.ts";
import { defineJob } from "../task/job.ts";
import { chunkPayload } from "../task/payload.ts";

/** Rows restored in one transaction; their content never leaves the server. */
const BATCH_ROWS = 64;

/** Undoes what a run did to the tenant-days of one chunk; reads no event. */
export const restoreRows = defineJob({
  name: "restore-rows",
  payload: chunkPayload,
  needs: [...CHUNK_WORK, "restoreBatch"],
  timeoutMs: 60 * 60_000,
  id: ({ runId, chunk }) => `restore-rows|${runId}|${chunk}`,
  run(payload, context) {
    return workOnChunk(payload, context, "undo", restore);
  },
});

/** Restores the rows of the chunk from its cursor on, batch by batch. */
async function restore(claim: Claim, { restoreBatch, signal }: ContextOf<"restoreBatch">): Promise<BatchCounts> {
  const counts = noCounts();
  const days = listTenantDays(claim.spans);
  for (let cursor = claim.cursor; cursor < days.length;) {
    signal.throwIfAborted();
    const batch = days.slice(cursor, cursor + BATCH_ROWS);
    cursor += batch.length;
    addCounts(counts, await restoreBatch(claim, batch, cursor));
  }
  return counts;
}
