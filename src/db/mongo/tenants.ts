import type { Collection, Document } from "mongodb";
import { addDays, countDays, dayBounds, earlierDay, FIRST_DAY, laterDay, type Day } from "../../usage/day.ts";
import { tenantFault, type FieldMap } from "../../usage/event.ts";
import { idText } from "./ids.ts";
import { matchRange, tenantDateIndex } from "./pipeline.ts";

/** The first and the last day on which a tenant has events. */
export interface TenantSpan {
  readonly first: Day;
  readonly last: Day;
}

/** Both ends included. */
export interface DayRange {
  readonly from: Day;
  readonly to: Day;
}

/** Where to look for a tenant's span. */
export interface SpanSearch {
  readonly near: DayRange;
  /** nothing after it is looked at */
  readonly latest: Day;
  /** the span found before */
  readonly known: TenantSpan | undefined;
}

/** Every distinct value of the tenant field, from the index alone; a server that can, skips from one to the next. */
export function tenantsPipeline(fields: FieldMap): Document[] {
  return [{ $group: { _id: `$${fields.tenant_id}` } }];
}

/** What can be learnt about tenants from the events' tenant/date index. */
export class TenantReader {
  readonly #collection: Collection;
  readonly #fields: FieldMap;
  readonly #timeZone: string;

  constructor(collection: Collection, fields: FieldMap, timeZone: string) {
    this.#collection = collection;
    this.#fields = fields;
    this.#timeZone = timeZone;
  }

  /** The text of every tenant that can have a row, each once, in no order. Values that are no id are left out. */
  async list(signal: AbortSignal): Promise<string[]> {
    const cursor = this.#collection.aggregate(tenantsPipeline(this.#fields), {
      hint: tenantDateIndex(this.#fields),
      allowDiskUse: true,
      promoteValues: false,
      batchSize: 10_000,
      comment: "tallyman",
      signal,
    });
    const tenants = new Set<string>();
    for await (const { _id } of cursor) {
      const text = idText(_id);
      if (text !== undefined && tenantFault(text) === undefined) tenants.add(text);
    }
    return [...tenants];
  }

  /**
   * The span of a tenant's events, or undefined if it has none. Asks only whether a range holds any event: each server
   * answers that from the index, also one that cannot sort by it, but may look at the whole range to do so. Hence the
   * search begins where the answer likely is, in ranges that are small or empty: at the span known before, else at the
   * ends of the days in question.
   */
  async span(tenant: string, search: SpanSearch, signal: AbortSignal): Promise<TenantSpan | undefined> {
    const { latest, known } = search;
    const has = (from: Day, to: Day) =>
      from > to ? Promise.resolve(false) : this.#hasEvents(tenant, from, to, signal);
    const from = laterDay(earlierDay(known?.first ?? search.near.from, latest), FIRST_DAY);
    const to = laterDay(earlierDay(known?.last ?? search.near.to, latest), FIRST_DAY);
    const before = addDays(from, -1);
    const first = (await has(FIRST_DAY, before))
      ? await halveToFirst(has, FIRST_DAY, before)
      : await firstDay(has, from, latest);
    if (first === undefined) return undefined;
    const after = addDays(to, 1);
    const last = (await has(after, latest)) ? await lastDay(has, after, latest) : await lastDay(has, first, to);
    return { first, last: last ?? first };
  }

  async #hasEvents(tenant: string, from: Day, to: Day, signal: AbortSignal): Promise<boolean> {
    const range = { tenant, start: dayBounds(from, this.#timeZone).start, end: dayBounds(to, this.#timeZone).end };
    const event = await this.#collection.findOne(matchRange(range, this.#fields), {
      hint: tenantDateIndex(this.#fields),
      projection: { _id: 1 },
      comment: "tallyman",
      signal,
    });
    return event !== null;
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
