import { addDays, countDays, listDays, type Day } from "./day.ts";
import type { TenantDay, TenantSpan } from "./tenant-day.ts";

/** Days of one tenant within a chunk. */
export interface PlannedSpan extends TenantSpan {
  /** expected events of its single day, if that day fills a chunk by itself */
  readonly expected?: number;
}

/** The work of one queue job: its tenant-days in order, and their number. */
export interface ChunkPlan {
  readonly spans: readonly PlannedSpan[];
  readonly days: number;
}

/** Expected number of events of a tenant's days. */
export interface ExpectedEvents {
  /** on a day whose number is unknown */
  readonly average: number;
  /** on days whose number is known */
  readonly days?: ReadonlyMap<Day, number>;
}

/** The size of a chunk; only a single day that is larger exceeds it. */
export interface ChunkSize {
  /** expected events, DAY_COST for each tenant-day included */
  readonly events: number;
  readonly days: number;
}

/** About a second of work: small enough that a killed process costs little, large enough that claims cost nothing. */
export const CHUNK_SIZE: ChunkSize = { events: 100_000, days: 128 };

/** Cost of a tenant-day beside its events, expressed in events: a stamp, a query and a row. */
export const DAY_COST = 300;

const UNKNOWN: ExpectedEvents = { average: 0 };

/** Every tenant-day of the spans, in their order. */
export function listTenantDays(spans: readonly TenantSpan[]): TenantDay[] {
  return spans.flatMap(({ tenant, from, to }) => listDays(from, to).map((date) => ({ tenant, date })));
}

/** Tenant-days in the spans. */
export function countTenantDays(spans: readonly TenantSpan[]): number {
  return spans.reduce((sum, { from, to }) => sum + Math.max(0, countDays(from, to)), 0);
}

/** The expected events of a day that fills a chunk by itself; undefined for other days. */
export function expectedOn(spans: readonly PlannedSpan[], tenant: string, date: Day): number | undefined {
  return spans.find((span) => span.tenant === tenant && span.from === date && span.expected !== undefined)?.expected;
}

/**
 * Cuts spans into chunks of like expected work: small tenants share a chunk, large ones are split by day. Every
 * tenant-day is in exactly one chunk, a tenant's in their order. The chunks take turns among the tenants, so that a huge tenant does
 * not hold up the others.
 */
export function planChunks(
  spans: readonly TenantSpan[],
  expected: (tenant: string) => ExpectedEvents = () => UNKNOWN,
  size: ChunkSize = CHUNK_SIZE,
): ChunkPlan[] {
  const byTenant = new Map<string, TenantSpan[]>();
  for (const span of spans) {
    const own = byTenant.get(span.tenant);
    if (own) own.push(span);
    else byTenant.set(span.tenant, [span]);
  }
  const chunks: Piece[] = [];
  let open = newPiece();
  let waiting = [...byTenant].map(([tenant, own]) => cutSpans(own, expected(tenant), size));
  for (let round = 0; waiting.length > 0; round++) {
    waiting = waiting.filter((pieces) => pieces.length > round);
    for (const pieces of waiting) {
      const { spans: own, days, cost } = pieces[round] as Piece;
      if (open.days > 0 && (open.days + days > size.days || open.cost + cost > size.events)) {
        chunks.push(open);
        open = newPiece();
      }
      open.spans.push(...own);
      open.days += days;
      open.cost += cost;
    }
  }
  if (open.days > 0) chunks.push(open);
  return chunks.map(({ spans: own, days }) => ({ spans: own, days }));
}

interface Piece {
  readonly spans: PlannedSpan[];
  days: number;
  cost: number;
}

const newPiece = (): Piece => ({ spans: [], days: 0, cost: 0 });

/** One tenant's spans, cut into pieces of at most a chunk. */
function cutSpans(spans: readonly TenantSpan[], expected: ExpectedEvents, size: ChunkSize): Piece[] {
  const pieces: Piece[] = [];
  let open = newPiece();
  for (const { tenant, from, to } of spans) {
    let last: { tenant: string; from: Day; to: Day; expected?: number } | undefined;
    for (const alike of likeDays(from, to, expected)) {
      const cost = DAY_COST + alike.events;
      let { from: start, days: left } = alike;
      while (left > 0) {
        const fits = Math.min(left, size.days - open.days, Math.floor((size.events - open.cost) / cost));
        if (fits < 1 && open.days > 0) {
          pieces.push(open);
          open = newPiece();
          last = undefined;
          continue;
        }
        const count = Math.max(fits, 1);
        const end = count === 1 ? start : addDays(start, count - 1);
        if (last) last.to = end;
        else open.spans.push((last = { tenant, from: start, to: end }));
        if (cost > size.events) last.expected = alike.events;
        open.days += count;
        open.cost += count * cost;
        left -= count;
        if (left > 0) start = addDays(end, 1);
      }
    }
  }
  if (open.days > 0) pieces.push(open);
  return pieces;
}

/** The days of a span in order, consecutive days with equal expectation together. */
function likeDays(from: Day, to: Day, expected: ExpectedEvents): { from: Day; days: number; events: number }[] {
  const average = Math.ceil(expected.average);
  const known = expected.days;
  if (!known) return [{ from, days: countDays(from, to), events: average }];
  return listDays(from, to).map((day) => ({ from: day, days: 1, events: known.get(day) ?? average }));
}
