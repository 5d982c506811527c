import { z } from "zod";
import { TenantDayError } from "../db/mongo/events.ts";
import type { CacheRow, TenantDay } from "../db/postgres/cache.ts";
import { ClaimLostError, keepClaim, type BatchCounts, type Claim } from "../db/postgres/chunks.ts";
import { laneOf, type FailedDay } from "../db/postgres/runs.ts";
import { dayState } from "../usage/classify.ts";
import { dayBounds } from "../usage/day.ts";
import { toDocuments } from "../usage/document.ts";
import { listTenantDays } from "../usage/plan.ts";
import { defineJob, isShutdown, PAYLOAD_VERSION, type JobContext } from "./job.ts";

/** A batch is written when it holds this much, so that memory stays bounded whatever the size of a day. */
const BATCH = { rows: 64, bytes: 8 * 1024 * 1024 };
const READ_LIMIT_MS = 10 * 60_000;

/** Recomputes the tenant-days of one chunk from their events and replaces them in the cache. */
export const aggregateDays = defineJob({
  name: "aggregate-days",
  payload: z.strictObject({ v: z.literal(PAYLOAD_VERSION), runId: z.uuid(), chunk: z.int().nonnegative() }),
  timeoutMs: 60 * 60_000,
  id: ({ runId, chunk }) => `aggregate-days|${runId}|${chunk}`,
  async run({ runId, chunk }, context) {
    const { chunks, runs, dispatch, log } = context;
    const claim = await chunks.claim(runId, chunk);
    if (!claim) return { claimed: false };
    const keeper = keepClaim(chunks, claim);
    try {
      const counts = await aggregate(claim, { ...context, signal: AbortSignal.any([context.signal, keeper.lost]) });
      await chunks.done(claim);
      const state = await runs.finish(runId);
      if (state) log.info({ runId, state }, "run finished");
      await dispatch();
      return { claimed: true, ...counts };
    } catch (error) {
      if (error instanceof ClaimLostError || keeper.lost.aborted) return { claimed: false };
      if (isShutdown(context.signal)) await chunks.handBack(claim);
      else await chunks.retryLater(claim, (error as Error).message);
      await runs.finish(runId);
      throw error;
    } finally {
      keeper.stop();
    }
  },
});

/**
 * Reads the chunk's tenant-days in order. While one is folded the next is read already, and while a batch is written
 * the reads go on.
 */
async function aggregate(claim: Claim, context: JobContext): Promise<BatchCounts> {
  const days = listTenantDays(claim.spans);
  const counts = { written: 0, unchanged: 0, stale: 0, failed: 0 };
  let writing = Promise.resolve();
  let batch = newBatch();
  let reading = readAhead(days[claim.cursor], claim, context);
  for (let cursor = claim.cursor; cursor < days.length; cursor++) {
    const day = days[cursor] as TenantDay;
    const current = reading;
    reading = readAhead(days[cursor + 1], claim, context);
    try {
      const row = (await current) as CacheRow;
      batch.rows.push(row);
      batch.bytes += sizeOf(row);
    } catch (error) {
      if (!(error instanceof TenantDayError)) {
        await writing; // what was read before is kept
        throw error;
      }
      batch.failures.push({ ...day, error: error.message });
      context.log.warn({ ...day, runId: claim.runId, err: error }, "tenant-day failed");
    }
    const isFull = batch.bytes >= BATCH.bytes || batch.rows.length >= BATCH.rows;
    if (isFull || cursor === days.length - 1) {
      await writing;
      const { rows, failures } = batch;
      batch = newBatch();
      writing = context.chunks.write(claim, rows, failures, cursor + 1).then((written) => {
        for (const outcome of Object.keys(counts) as (keyof BatchCounts)[]) counts[outcome] += written[outcome];
      });
      writing.catch(() => undefined); // the next await of it throws
    }
  }
  await writing;
  return counts;
}

function newBatch(): { rows: CacheRow[]; failures: FailedDay[]; bytes: number } {
  return { rows: [], failures: [], bytes: 0 };
}

function sizeOf({ documents }: CacheRow): number {
  return Object.values(documents.folded).reduce((sum, text) => sum + text.length, documents.raw.length);
}

/** Begins a read whose error is thrown where it is awaited. */
function readAhead(day: TenantDay | undefined, claim: Claim, context: JobContext): Promise<CacheRow | undefined> {
  const reading = day ? readRow(day, claim, context) : Promise.resolve(undefined);
  reading.catch(() => undefined);
  return reading;
}

/** The stamp is taken right before the read: whatever the read may miss arrived after it. */
async function readRow(day: TenantDay, claim: Claim, context: JobContext): Promise<CacheRow> {
  const { events, settings, signal } = context;
  const bounds = dayBounds(day.date, settings.timeZone);
  const { readAt, rollup } = await context.underSlot(laneOf(claim.kind), async () => {
    const stamp = await context.stamp();
    const read = await events.readDay(day.tenant, bounds, { maxTimeMs: READ_LIMIT_MS, signal });
    return { readAt: stamp, rollup: read };
  });
  const { totals, malformed } = rollup;
  const state = dayState(bounds, readAt, settings.settleHours);
  try {
    return { ...day, documents: toDocuments(rollup, settings.limits), totals, malformed, readAt, state };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new TenantDayError("the keys of the day are longer than a text can be", { cause: error });
  }
}
