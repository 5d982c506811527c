import type { Document } from "mongodb";
import { addDays, countDays, dayBounds, dayOf, earlierDay, FIRST_DAY, laterDay, type Day } from "../../usage/day.ts";
import { tenantFault, type FieldMap } from "../../usage/event.ts";
import type { DayRange } from "../../usage/tenant-day.ts";
import type { EventCollection } from "./event-collection.ts";
import { idText } from "./ids.ts";
import { matchTenants } from "./pipeline.ts";

/** Where to search for a tenant's span. */
export interface SpanSearch {
  readonly near: DayRange;
  /** the last day that is searched */
  readonly latest: Day;
  /** the span found before */
  readonly known: DayRange | undefined;
}

/** A list may be long: few round trips. */
const LISTING = { allowDiskUse: true, batchSize: 10_000 } as const;

interface FoundSpan {
  readonly _id: unknown;
  readonly first: Date;
  readonly last: Date;
}

/**
 * Every distinct value of the tenant field, from the index alone. mongod skips from one value to the next where the
 * collection is not sharded and no event ever had an array there; elsewhere the whole index is read.
 */
export function tenantsPipeline(fields: FieldMap): Document[] {
  return [{ $group: { _id: `$${fields.tenant_id}` } }];
}

/** Reads about tenants from the events' tenant/date index. */
export class TenantReader {
  readonly #events: EventCollection;
  readonly #fields: FieldMap;
  readonly #timeZone: string;

  constructor(events: EventCollection, timeZone: string) {
    this.#events = events;
    this.#fields = events.fields;
    this.#timeZone = timeZone;
  }

  /** The text of every tenant that can have a row, each once, in no order, without values that are no id. */
  async list(signal: AbortSignal): Promise<string[]> {
    return this.#events.throughIndex(async (collection, settings) => {
      const cursor = collection.aggregate(tenantsPipeline(this.#fields), { ...settings, ...LISTING, signal });
      const tenants = new Set<string>();
      for await (const { _id } of cursor) {
        const text = idText(_id);
        if (text !== undefined && tenantFault(text) === undefined) tenants.add(text);
      }
      return [...tenants];
    });
  }

  /**
   * The span of a tenant's events; undefined if it has none. The only query is whether a range has any event: every
   * server answers it through the index, even one that cannot sort by it, but may read the whole range. So the search
   * begins with small or empty ranges near the likely answer: at the known span, else at the ends of the days in
   * question.
   */
  async span(tenant: string, search: SpanSearch, signal: AbortSignal): Promise<DayRange | undefined> {
    const { latest, known } = search;
    const has = (from: Day, to: Day) =>
      from > to ? Promise.resolve(false) : this.hasEvents([tenant], from, to, signal);
    const from = laterDay(earlierDay(known?.from ?? search.near.from, latest), FIRST_DAY);
    const to = laterDay(earlierDay(known?.to ?? search.near.to, latest), FIRST_DAY);
    const before = addDays(from, -1);
    const first = (await has(FIRST_DAY, before))
      ? await halveToFirst(has, FIRST_DAY, before)
      : await firstDay(has, from, latest);
    if (first === undefined) return undefined;
    const after = addDays(to, 1);
    const last = (await has(after, latest)) ? await lastDay(has, after, latest) : await lastDay(has, first, to);
    return { from: first, to: last ?? first };
  }

  /** The first day with an event, searched before `day`; the caller knows that such an event exists. */
  async firstBefore(tenant: string, day: Day, signal: AbortSignal): Promise<Day> {
    const has = (from: Day, to: Day) => this.hasEvents([tenant], from, to, signal);
    return halveToFirst(has, FIRST_DAY, addDays(day, -1));
  }

  /** Has any of the tenants an event on these days? Stops at the first event. */
  async hasEvents(tenants: readonly string[], from: Day, to: Day, signal: AbortSignal): Promise<boolean> {
    const match = matchTenants(tenants, this.#instants(from, to), this.#fields);
    const event = await this.#events.throughIndex((collection, settings) =>
      collection.findOne(match, { ...settings, projection: { _id: 1 }, signal }),
    );
    return event !== null;
  }

  /**
   * The first and the last of these days on which each tenant has an event, without tenants that have none. One
   * aggregation reads every event of theirs on these days: cheaper than single queries if each tenant has few events.
   */
  async spansWithin(
    tenants: readonly string[],
    from: Day,
    to: Day,
    signal: AbortSignal,
  ): Promise<Map<string, DayRange>> {
    const at = `$${this.#fields.created_at}`;
    const group = { _id: `$${this.#fields.tenant_id}`, first: { $min: at }, last: { $max: at } };
    const match = matchTenants(tenants, this.#instants(from, to), this.#fields);
    const groups = await this.#events.throughIndex((collection, settings) =>
      collection
        .aggregate<FoundSpan>([{ $match: match }, { $group: group }], { ...settings, ...LISTING, signal })
        .toArray(),
    );
    const spans = new Map<string, DayRange>();
    for (const { _id, ...found } of groups) {
      const text = idText(_id);
      if (text === undefined) continue;
      const first = dayOf(found.first.getTime(), this.#timeZone);
      const last = dayOf(found.last.getTime(), this.#timeZone);
      const other = spans.get(text); // the same text in another type
      spans.set(
        text,
        other ? { from: earlierDay(first, other.from), to: laterDay(last, other.to) } : { from: first, to: last },
      );
    }
    return spans;
  }

  /** The approximate number of events, from the collection's own figures. */
  async estimatedEvents(): Promise<number> {
    return this.#events.estimatedCount();
  }

  #instants(from: Day, to: Day): { start: number; end: number } {
    return { start: dayBounds(from, this.#timeZone).start, end: dayBounds(to, this.#timeZone).end };
  }
}

type HasEvents = (from: Day, to: Day) => Promise<boolean>;

/** The first day with an event, searched from the start in windows of doubled length. */
async function firstDay(has: HasEvents, earliest: Day, latest: Day): Promise<Day | undefined> {
  for (let from = earliest, length = 1; from <= latest; length *= 2) {
    const to = earlierDay(addDays(from, length - 1), latest);
    if (await has(from, to)) return halveToFirst(has, from, to);
    from = addDays(to, 1);
  }
  return undefined;
}

/** The last day with an event, searched from the end in windows of doubled length. */
async function lastDay(has: HasEvents, earliest: Day, latest: Day): Promise<Day | undefined> {
  for (let to = latest, length = 1; to >= earliest; length *= 2) {
    const from = laterDay(addDays(to, 1 - length), earliest);
    if (await has(from, to)) return halveToLast(has, from, to);
    to = addDays(from, -1);
  }
  return undefined;
}

/** Halves a range that holds an event until its first day is left. */
async function halveToFirst(has: HasEvents, from: Day, to: Day): Promise<Day> {
  let low = from;
  let high = to;
  while (low < high) {
    const middle = addDays(low, Math.floor((countDays(low, high) - 1) / 2));
    if (await has(low, middle)) high = middle;
    else low = addDays(middle, 1);
  }
  return low;
}

/** Halves a range that holds an event until its last day is left. */
async function halveToLast(has: HasEvents, from: Day, to: Day): Promise<Day> {
  let low = from;
  let high = to;
  while (low < high) {
    const middle = addDays(low, Math.floor(countDays(low, high) / 2));
    if (await has(middle, high)) low = middle;
    else high = addDays(middle, -1);
  }
  return low;
}
