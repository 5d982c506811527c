import { countDays, earlierDay, addDays, listDays, type Day } from "./day.ts";

/** Some days of one tenant, both ends included. */
export interface TenantDays {
  readonly tenant: string;
  readonly from: Day;
  readonly to: Day;
}

/** The work of one queue job: its tenant-days in order, and how many they are. */
export interface ChunkPlan {
  readonly spans: readonly TenantDays[];
  readonly days: number;
}

/** Tenant-days in one chunk: small enough that a killed process costs little, large enough that claims cost nothing. */
export const CHUNK_DAYS = 32;

/** Every tenant-day of the spans, in their order. */
export function listTenantDays(spans: readonly TenantDays[]): { tenant: string; date: Day }[] {
  return spans.flatMap(({ tenant, from, to }) => listDays(from, to).map((date) => ({ tenant, date })));
}

/**
 * Cuts spans into chunks of at most `size` tenant-days: a long span is split by day, short ones share a chunk. Every
 * tenant-day is in exactly one chunk.
 */
export function planChunks(spans: readonly TenantDays[], size = CHUNK_DAYS): ChunkPlan[] {
  const chunks: { spans: TenantDays[]; days: number }[] = [];
  let open = { spans: [] as TenantDays[], days: 0 };
  for (const { tenant, from, to } of spans) {
    for (let start = from; start <= to;) {
      const end = earlierDay(to, addDays(start, size - open.days - 1));
      open.spans.push({ tenant, from: start, to: end });
      open.days += countDays(start, end);
      start = addDays(end, 1);
      if (open.days === size) {
        chunks.push(open);
        open = { spans: [], days: 0 };
      }
    }
  }
  if (open.days > 0) chunks.push(open);
  return chunks;
}
