import { Binary, MongoServerError, ObjectId, Timestamp, type Collection, type Document, type Int32 } from "mongodb";
import { addDays, dayBounds, dayOf, FIRST_DAY, type Day, type DayBounds } from "../../usage/day.ts";
import { MAX_TENANT_BYTES, tenantFault, type FieldMap } from "../../usage/event.ts";
import { idText } from "./ids.ts";
import type { InvisibleReason } from "./invisible.ts";
import { matchRange } from "./pipeline.ts";
import { aggregation, TIMED_OUT, type ReadOptions } from "./read.ts";

/** Where a scan begins: at the ids made at an instant (milliseconds since the epoch), or behind the last id of a page. */
export type ScanStart = { readonly since: number } | { readonly after: ObjectId };

/** What one page of arrivals comes to. */
export interface ArrivalPage {
  /** each tenant-day that at least one of the events belongs to, once */
  readonly days: readonly { readonly tenant: string; readonly date: Day }[];
  readonly events: number;
  /** events that no rebuild can see; reasons that none has are missing */
  readonly invisible: ReadonlyMap<InvisibleReason, number>;
  /** where the next page begins; undefined = this was the last */
  readonly next: ScanStart | undefined;
}

/** A page ends at so many tenant-days: some 10 MB of them. */
const PAGE_DAYS = 50_000;
/** An unsorted or a small batch makes FerretDB repeat its scan; two fields of 10,000 events are about 1 MB. */
const BATCH = 10_000;
const LAST_ID = new ObjectId("f".repeat(24));
const LAST_ID_SECOND = 2 ** 32 - 1;

/**
 * The least value of each type of id but ObjectId. A comparison matches its own type alone, so that each of these is a
 * range of the index on `_id`, which is empty where a collection has ObjectIds only.
 */
const FOREIGN_IDS: readonly (readonly [string, Document])[] = [
  ["string", { $gte: "" }],
  ["number", { $gte: -Infinity }],
  ["binary", { $gte: new Binary(Buffer.alloc(0), 0) }],
  ["object", { $gte: {} }],
  ["date", { $gte: new Date(-8.64e15) }],
  ["timestamp", { $gte: Timestamp.fromBits(0, 0) }],
  ["boolean", { $gte: false }],
];

/** Finds what arrived, by `_id`, and counts what a tenant-day holds now. */
export class ArrivalReader {
  readonly #collection: Collection;
  readonly #fields: FieldMap;
  readonly #timeZone: string;

  constructor(collection: Collection, fields: FieldMap, timeZone: string) {
    this.#collection = collection;
    this.#fields = fields;
    this.#timeZone = timeZone;
  }

  /**
   * The events of one page, in the order of their ids. It is open upwards: ids that a producer's clock put into the
   * future are in every scan until that time has come.
   *
   * @param today later days than tomorrow are out of range
   */
  async page(start: ScanStart, today: Day, signal: AbortSignal, pageDays = PAGE_DAYS): Promise<ArrivalPage> {
    const { tenant_id, created_at } = this.#fields;
    const cursor = this.#collection.find(
      { _id: "after" in start ? { $gt: start.after, $lte: LAST_ID } : { $gte: firstId(start.since), $lte: LAST_ID } },
      {
        sort: { _id: 1 },
        hint: { _id: 1 },
        projection: { [tenant_id]: 1, [created_at]: 1 },
        batchSize: BATCH,
        promoteValues: false,
        readPreference: "primary",
        readConcern: { level: "majority" },
        comment: "tallyman",
        signal,
      },
    );
    const fold = new ArrivalFold(this.#fields, this.#timeZone, today);
    let events = 0;
    let next: ScanStart | undefined;
    for await (const event of cursor) {
      fold.add(event);
      events++;
      if (fold.size < pageDays) continue;
      next = { after: event._id }; // leaving the loop closes the cursor
      break;
    }
    return { days: fold.days(), events, invisible: fold.invisible, next };
  }

  /** How many events a tenant-day has through the index that rebuilds use; undefined when that takes too long. */
  async count(tenant: string, date: Day, options: ReadOptions): Promise<bigint | undefined> {
    const range = { tenant, ...dayBounds(date, this.#timeZone) };
    const pipeline = [{ $match: matchRange(range, this.#fields) }, { $group: { _id: null, n: { $sum: 1 } } }];
    try {
      const [counted] = await this.#collection
        .aggregate<{ n: Int32 }>(pipeline, aggregation(this.#fields, options))
        .toArray();
      return counted ? BigInt(counted.n.toString()) : 0n;
    } catch (error) {
      if (error instanceof MongoServerError && Number(error.code) === TIMED_OUT) return undefined;
      throw error;
    }
  }

  /** A type other than ObjectId that some id has: its event may never come up in a scan. undefined = none has. */
  async foreignIdType(signal: AbortSignal): Promise<string | undefined> {
    for (const [type, range] of FOREIGN_IDS) {
      const options = { hint: { _id: 1 }, projection: { _id: 1 }, comment: "tallyman", signal } as const;
      if (await this.#collection.findOne({ _id: range }, options)) return type;
    }
    return undefined;
  }
}

/** The least ObjectId made in the second of an instant. */
function firstId(instant: number): ObjectId {
  return ObjectId.createFromTime(Math.min(Math.max(0, Math.floor(instant / 1_000)), LAST_ID_SECOND));
}

/** Folds events, as read with `promoteValues: false`, into the tenant-days that they belong to. */
export class ArrivalFold {
  readonly invisible = new Map<InvisibleReason, number>();
  readonly #tenantPath: readonly string[];
  readonly #timePath: readonly string[];
  readonly #calendar: Calendar;
  readonly #days = new Map<string, Set<Day>>();
  #size = 0;

  constructor(fields: Pick<FieldMap, "tenant_id" | "created_at">, timeZone: string, today: Day) {
    this.#tenantPath = fields.tenant_id.split(".");
    this.#timePath = fields.created_at.split(".");
    this.#calendar = new Calendar(timeZone, addDays(today, 1));
  }

  /** How many tenant-days there are by now. */
  get size(): number {
    return this.#size;
  }

  add(event: Document): void {
    const tenant = judgeTenant(valueAt(event, this.#tenantPath));
    if ("fault" in tenant) return this.#count(tenant.fault);
    const time = valueAt(event, this.#timePath);
    if (time === undefined || time === null) return this.#count("createdAtMissing");
    if (!(time instanceof Date)) return this.#count("createdAtType");
    const day = this.#calendar.dayOf(time.getTime());
    if (day === undefined) return this.#count("dayOutOfRange");

    let days = this.#days.get(tenant.text);
    if (!days) this.#days.set(tenant.text, (days = new Set()));
    const before = days.size;
    this.#size += days.add(day).size - before;
  }

  days(): { tenant: string; date: Day }[] {
    return Array.from(this.#days, ([tenant, days]) => Array.from(days, (date) => ({ tenant, date }))).flat();
  }

  #count(reason: InvisibleReason): void {
    this.invisible.set(reason, (this.invisible.get(reason) ?? 0) + 1);
  }
}

/** The value of a field, or the array on the way to it, which keeps the event out of every rebuild as well. */
function valueAt(document: Document, path: readonly string[]): unknown {
  let value: unknown = document;
  for (const name of path) {
    if (Array.isArray(value)) return value;
    const isDocument = typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
    value = isDocument && Object.hasOwn(value as object, name) ? (value as Document)[name] : undefined;
  }
  return value;
}

function judgeTenant(value: unknown): { text: string } | { fault: InvisibleReason } {
  if (value === undefined || value === null) return { fault: "tenantMissing" };
  const text = idText(value);
  if (text === undefined) return { fault: "tenantType" };
  if (tenantFault(text) === undefined) return { text };
  if (text === "") return { fault: "tenantEmpty" };
  return { fault: Buffer.byteLength(text) > MAX_TENANT_BYTES ? "tenantTooLong" : "tenantHoldsNul" };
}

const UTC_DAY_MS = 86_400_000;

/** Tells the day of many instants: days are looked up by the few UTC dates they lie on, since the calendar is slow. */
class Calendar {
  readonly #timeZone: string;
  readonly #start: number;
  readonly #end: number;
  readonly #known = new Map<number, (DayBounds & { readonly day: Day })[]>();

  constructor(timeZone: string, last: Day) {
    this.#timeZone = timeZone;
    this.#start = dayBounds(FIRST_DAY, timeZone).start;
    this.#end = dayBounds(last, timeZone).end;
  }

  /** undefined when it lies before the first day that counts or after the last; a Date out of range is NaN. */
  dayOf(instant: number): Day | undefined {
    if (!(instant >= this.#start && instant < this.#end)) return undefined;
    const date = Math.floor(instant / UTC_DAY_MS);
    let known = this.#known.get(date);
    if (!known) this.#known.set(date, (known = []));
    const found = known.find(({ start, end }) => instant >= start && instant < end);
    if (found) return found.day;
    const day = dayOf(instant, this.#timeZone);
    known.push({ day, ...dayBounds(day, this.#timeZone) });
    return day;
  }
}
