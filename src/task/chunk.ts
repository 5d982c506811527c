import type { z } from "zod";
import type { BatchCounts } from "../db/postgres/cache/write.ts";
import { ClaimLostError, startHeartbeat, type Claim } from "../db/postgres/runs/claim.ts";
import type { ChunkKind } from "../db/postgres/runs/run.ts";
import { isLostForWrites } from "../errors.ts";
import type { CHUNK_WORK, ContextOf } from "./context.ts";
import type { chunkPayload } from "./payload.ts";
import { isShutdown } from "./time-limit.ts";

/** What every kind of work on a chunk needs. */
export type ChunkContext = ContextOf<(typeof CHUNK_WORK)[number]>;

/** The outcome of a chunk; not claimed = another process has it, or it is done. */
export type ChunkResult = { readonly claimed: false } | ({ readonly claimed: true } & BatchCounts);

/**
 * Works on one chunk under a claim with a heartbeat; finishes the chunk, and the run with its last chunk. A shutdown
 * hands the chunk back, and so does a lost server; another error delays it for a later try, of which there are few.
 */
export async function workOnChunk<Context extends ChunkContext>(
  { runId, chunk }: z.output<typeof chunkPayload>,
  context: Context,
  kind: ChunkKind,
  work: (claim: Claim, context: Context) => Promise<BatchCounts>,
): Promise<ChunkResult> {
  const { chunks, runs, dispatch, log } = context;
  const claim = await chunks.claim(runId, chunk, kind);
  if (!claim) return { claimed: false };
  const heartbeat = startHeartbeat(() => chunks.renew(claim));
  try {
    const counts = await work(claim, { ...context, signal: AbortSignal.any([context.signal, heartbeat.lost]) });
    await chunks.done(claim);
    const state = await runs.finish(runId);
    if (state) log.info({ runId, state }, "run finished");
    await dispatch();
    return { claimed: true, ...counts };
  } catch (error) {
    if (error instanceof ClaimLostError || heartbeat.lost.aborted) return { claimed: false };
    if (isShutdown(context.signal)) await chunks.handBack(claim);
    else if (isLostForWrites(error)) await chunks.waitForServer(claim, (error as Error).message);
    else await chunks.retryLater(claim, (error as Error).message);
    await runs.finish(runId);
    throw error;
  } finally {
    heartbeat.stop();
  }
}
