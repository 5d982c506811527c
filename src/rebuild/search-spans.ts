import { inParallel } from "../in-parallel.ts";
import { addDays, earlierDay, FIRST_DAY, laterDay, type Day } from "../usage/day.ts";
import type { DayRange } from "../usage/tenant-day.ts";
import type { TenantReader } from "../db/mongo/tenants.ts";

/** Queries that run in parallel. */
const ASKED_AT_ONCE = 8;

/** Tenants in one query: on DocumentDB the cost of a long list grows faster than its length. */
const TENANTS_AT_ONCE = 100;

/**
 * Up to so many events a tenant, one aggregation that reads all events of many tenants is cheaper than about fifteen
 * queries for each tenant (1 ms a query, 6 µs an event, on FerretDB).
 */
const FEW_EVENTS = 2_000;

/** The tenants and days to search. */
export interface SpansSearch {
  readonly tenants: readonly string[];
  /** known spans; their tenants are searched only outside the span */
  readonly known: ReadonlyMap<string, DayRange>;
  /** the days in question */
  readonly near: DayRange;
  /** the last day that is searched */
  readonly latest: Day;
}

/**
 * The spans of the tenants' events, without tenants that have no event and are not known. A known tenant is searched
 * after its last day, and before its first day if the days in question begin before it; an unknown tenant everywhere.
 */
export async function searchSpans(
  reader: TenantReader,
  { tenants, known, near, latest }: SpansSearch,
  signal: AbortSignal,
): Promise<Map<string, DayRange>> {
  const found = new Map<string, DayRange>();
  const unknown = tenants.filter((tenant) => !known.has(tenant));
  for (const tenant of tenants) {
    const span = known.get(tenant);
    if (span) found.set(tenant, span);
  }
  const olderFirst = [...found].filter(([, { from }]) => near.from < from && from > FIRST_DAY);
  const isSmall = unknown.length > 1 && (await reader.estimatedEvents()) <= FEW_EVENTS * unknown.length;
  const questions: (() => Promise<void>)[] = [
    ...alike([...found].filter(([, { to }]) => to < latest).map(([tenant, { to }]) => [tenant, to])).map(
      ([last, batch]) =>
        () =>
          searchAfter(batch, last),
    ),
    ...alike(olderFirst.map(([tenant, { from }]) => [tenant, from])).map(
      ([first, batch]) =>
        () =>
          searchBefore(batch, first),
    ),
    ...(isSmall
      ? slices(unknown).map((batch) => async () => remember(await reader.spansWithin(batch, FIRST_DAY, latest, signal)))
      : unknown.map((tenant) => async () => {
          const span = await reader.span(tenant, { near, latest, known: undefined }, signal);
          if (span) found.set(tenant, span);
        })),
  ];
  await inParallel(questions, ASKED_AT_ONCE, (ask) => ask());
  return found;

  /** From the latest day back, in windows of doubled length, for tenants whose last day is not found yet. */
  async function searchAfter(batch: readonly string[], day: Day): Promise<void> {
    const from = addDays(day, 1);
    if (!(await reader.hasEvents(batch, from, latest, signal))) return;
    let left = batch;
    for (let to = latest, length = 1; to >= from && left.length > 0; length *= 2) {
      const start = laterDay(addDays(to, 1 - length), from);
      const spans = await reader.spansWithin(left, start, to, signal);
      remember(spans);
      left = left.filter((tenant) => !spans.has(tenant));
      to = addDays(start, -1);
    }
  }

  /** The tenants with events before that day, found by halving the list, since they are few. */
  async function searchBefore(batch: readonly string[], day: Day): Promise<void> {
    if (!(await reader.hasEvents(batch, FIRST_DAY, addDays(day, -1), signal))) return;
    const [tenant] = batch;
    if (batch.length === 1 && tenant !== undefined) {
      const first = await reader.firstBefore(tenant, day, signal);
      remember(new Map([[tenant, { from: first, to: first }]]));
      return;
    }
    const half = Math.ceil(batch.length / 2);
    await searchBefore(batch.slice(0, half), day);
    await searchBefore(batch.slice(half), day);
  }

  function remember(spans: ReadonlyMap<string, DayRange>): void {
    for (const [tenant, { from, to }] of spans) {
      const before = found.get(tenant);
      found.set(tenant, {
        from: before ? earlierDay(before.from, from) : from,
        to: before ? laterDay(before.to, to) : to,
      });
    }
  }
}

/** Tenants of one day together, in slices. */
function alike(days: readonly (readonly [tenant: string, day: Day])[]): [Day, string[]][] {
  const byDay = new Map<Day, string[]>();
  for (const [tenant, day] of days) {
    const others = byDay.get(day);
    if (others) others.push(tenant);
    else byDay.set(day, [tenant]);
  }
  return [...byDay].flatMap(([day, tenants]) => slices(tenants).map((batch): [Day, string[]] => [day, batch]));
}

function slices(tenants: readonly string[]): string[][] {
  const count = Math.ceil(tenants.length / TENANTS_AT_ONCE);
  return Array.from({ length: count }, (_, n) => tenants.slice(n * TENANTS_AT_ONCE, (n + 1) * TENANTS_AT_ONCE));
}
