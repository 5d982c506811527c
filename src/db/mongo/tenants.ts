import type { Collection, Document } from "mongodb";
import { addDays, countDays, dayBounds, FIRST_DAY, type Day } from "../../usage/day.ts";
import { tenantFault, type FieldMap } from "../../usage/event.ts";
import { idText } from "./ids.ts";
import { matchRange, tenantDateIndex } from "./pipeline.ts";

/** The first and the last day on which a tenant has events. */
export interface TenantSpan {
  readonly first: Day;
  readonly last: Day;
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
   * The span of a tenant's events up to `latest`, or undefined if it has none. Asks only whether a range holds any
   * event: each server answers that from the index, also one that cannot sort by it. `known` is the span found before;
   * where it still holds, two questions settle it.
   */
  async span(
    tenant: string,
    latest: Day,
    known: TenantSpan | undefined,
    signal: AbortSignal,
  ): Promise<TenantSpan | undefined> {
    const has = (from: Day, to: Day) =>
      from > to ? Promise.resolve(false) : this.#hasEvents(tenant, from, to, signal);
    const last = await lastDay(has, known?.last ?? FIRST_DAY, latest);
    if (last === undefined) return undefined;
    const before = known ? addDays(known.first, -1) : last;
    if (known && !(await has(FIRST_DAY, before))) return { first: known.first, last };
    return { first: await firstDay(has, FIRST_DAY, before), last };
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

/** Searches from the end in windows of doubled length, since most tenants were active lately, then halves the hit. */
async function lastDay(has: HasEvents, earliest: Day, latest: Day): Promise<Day | undefined> {
  let to = latest;
  for (let length = 1; to >= earliest; length *= 2) {
    const from = addDays(to, 1 - length);
    if (await has(from, to)) {
      let low = from;
      let high = to;
      while (low < high) {
        const middle = addDays(low, Math.floor(countDays(low, high) / 2));
        if (await has(middle, high)) low = middle;
        else high = addDays(middle, -1);
      }
      return low;
    }
    to = addDays(from, -1);
  }
  return undefined;
}

/** Halves the range, which holds an event, until one day is left. */
async function firstDay(has: HasEvents, from: Day, to: Day): Promise<Day> {
  let low = from;
  let high = to;
  while (low < high) {
    const middle = addDays(low, Math.floor((countDays(low, high) - 1) / 2));
    if (await has(low, middle)) high = middle;
    else low = addDays(middle, 1);
  }
  return low;
}
