import { chunkPayload, defineJob, workOnChunk, type ChunkContext } from "./job.ts";

/** Takes back what a run did to the tenant-days of one chunk, for an undo; reads no event. */
export const restoreRows = defineJob({
  name: "restore-rows",
  payload: chunkPayload,
  timeoutMs: 60 * 60_000,
  id: ({ runId, chunk }) => `restore-rows|${runId}|${chunk}`,
  run(payload, context: ChunkContext) {
    return workOnChunk(payload, context, "undo", (claim, { chunks, signal }) => chunks.restore(claim, signal));
  },
});
