import { TenantDayError } from "../db/mongo/events.ts";
import type { CacheRow } from "../db/postgres/cache/cache-row.ts";
import type { TenantDay } from "../usage/tenant-day.ts";
import type { Claim } from "../db/postgres/runs/claim.ts";
import { queueOf, type FailedDay } from "../db/postgres/runs/run.ts";
import { locateMalformed } from "../rebuild/locate-malformed.ts";
import { judgeHorizonAgain, readTenantDay } from "../rebuild/read-tenant-day.ts";
import { addCounts, noCounts, type BatchCounts } from "../db/postgres/cache/write.ts";
import { sizeOf } from "../usage/document.ts";
import { expectedOn, listTenantDays } from "../usage/plan.ts";
import { workOnChunk } from "../task/chunk.ts";
import { CHUNK_WORK, READING, type ContextOf } from "../task/context.ts";
import { defineJob } from "../task/job.ts";
import { chunkPayload } from "../task/payload.ts";

/** A batch is written when it holds this much, which bounds the memory whatever the size of a day. */
const BATCH = { rows: 64, bytes: 8 * 1024 * 1024 };

const NEEDS = [...CHUNK_WORK, ...READING, "readMalformed", "requireIndexes", "sourceAnswers", "writeBatch"] as const;
type AggregateContext = ContextOf<(typeof NEEDS)[number]>;

/** Recomputes the tenant-days of one chunk from their events and replaces them in the cache. */
export const aggregateDays = defineJob({
  name: "aggregate-days",
  payload: chunkPayload,
  needs: NEEDS,
  timeoutMs: 60 * 60_000,
  quietMs: 10 * 60_000, // a read has two minutes
  id: ({ runId, chunk }) => `aggregate-days|${runId}|${chunk}`,
  async run(payload, context) {
    await context.sourceAnswers(); // else each claim of an outage would count as one without progress
    return workOnChunk(payload, context, "rebuild", aggregate);
  },
});

/**
 * Reads the chunk's tenant-days in order: the next one while one is folded, and while a batch is written.
 */
async function aggregate(claim: Claim, context: AggregateContext): Promise<BatchCounts> {
  await context.requireIndexes();
  const days = listTenantDays(claim.spans);
  const counts = noCounts();
  const examined = { events: 0 };
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
      batch.bytes += sizeOf(row.documents);
    } catch (error) {
      if (!(error instanceof TenantDayError)) {
        await writing; // keep the batch that was read before
        throw error;
      }
      batch.failures.push({ ...day, error: error.message });
      context.log.warn({ ...day, runId: claim.runId, err: error }, "tenant-day failed");
    }
    const isFull = batch.bytes >= BATCH.bytes || batch.rows.length >= BATCH.rows;
    if (isFull || cursor === days.length - 1) {
      await writing;
      writing = write(batch, cursor + 1, claim, context, examined).then((written) => addCounts(counts, written));
      batch = newBatch();
      writing.catch(() => undefined); // the error is thrown where it is awaited
    }
  }
  await writing;
  return counts;
}

interface OpenBatch {
  readonly rows: CacheRow[];
  readonly failures: FailedDay[];
  bytes: number;
}

const newBatch = (): OpenBatch => ({ rows: [], failures: [], bytes: 0 });

async function write(
  batch: OpenBatch,
  cursor: number,
  claim: Claim,
  context: AggregateContext,
  examined: { events: number },
): Promise<BatchCounts> {
  const malformed = await locateMalformed(batch.rows, queueOf(claim.kind), context, examined);
  const rows = await judgeHorizonAgain(batch.rows, context);
  return context.writeBatch(claim, { rows, failures: batch.failures, malformed, cursor }, (days) =>
    context.log.error(
      { runId: claim.runId, days },
      "rows have read stamps more than five minutes ahead of PostgreSQL's clock: the clock was wrong then, or is wrong now",
    ),
  );
}

/** Begins a read whose error is thrown where it is awaited. */
function readAhead(day: TenantDay | undefined, claim: Claim, context: AggregateContext): Promise<CacheRow | undefined> {
  const reading = day
    ? readTenantDay(day, queueOf(claim.kind), context, expectedOn(claim.spans, day.tenant, day.date))
    : Promise.resolve(undefined);
  reading.catch(() => undefined);
  return reading;
}
