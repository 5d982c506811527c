import { Binary, ObjectId, Timestamp, type Document, type Int32, type Long } from "mongodb";
import { isOutOfTime } from "../../mongo/errors.ts";
import { addDays, dayBounds, dayOf, FIRST_DAY, type Day, type DayBounds } from "../../usage/day.ts";
import { MAX_TENANT_BYTES, tenantFault, type FieldMap } from "../../usage/event.ts";
import type { InvisibleReason } from "../../usage/invisible.ts";
import type { EventCollection } from "./event-collection.ts";
import { idText } from "./ids.ts";
import type { MajorityPoint } from "./majority.ts";
import { matchRange } from "./pipeline.ts";
import { limits, type ReadOptions } from "./read.ts";

/** Where a scan begins: at ids made at an instant (milliseconds since the epoch), or after the last id of a page. */
export type ScanStart = { readonly since: number } | { readonly after: ObjectId };

/** The result of one page of arrivals. */
export interface ArrivalPage {
  /** each tenant-day with at least one event in the page, once */
  readonly days: readonly { readonly tenant: string; readonly date: Day }[];
  readonly events: number;
  /** counts of events that no rebuild can see, by reason, without zeros */
  readonly invisible: ReadonlyMap<InvisibleReason, number>;
  /** where the next page begins; undefined = this was the last */
  readonly next: ScanStart | undefined;
}

/** A page ends at so many tenant-days, about 10 MB. */
const PAGE_DAYS = 50_000;
/** An unsorted or a small batch makes FerretDB repeat its scan; two fields of 10,000 events are about 1 MB. */
const BATCH = 10_000;
const LAST_ID = new ObjectId("f".repeat(24));
const LAST_ID_SECOND = 2 ** 32 - 1;

/**
 * The lowest value of each type of id except ObjectId. A comparison matches its own type only, so each of these is a
 * range of the index on `_id`, empty in a collection with ObjectIds only.
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

/** Finds arrived events by `_id`, and counts the present events of a tenant-day. */
export class ArrivalReader {
  readonly #events: EventCollection;
  readonly #fields: FieldMap;
  readonly #timeZone: string;

  constructor(events: EventCollection, timeZone: string) {
    this.#events = events;
    this.#fields = events.fields;
    this.#timeZone = timeZone;
  }

  /** Up to when stored events can be seen, at least; undefined where the server does not tell. */
  majority(signal: AbortSignal): Promise<MajorityPoint | undefined> {
    return this.#events.majority(signal);
  }

  /**
   * The events of one page, in the order of their ids. A scan has no upper bound: ids from a producer's clock that is
   * ahead are in every scan until that time has come.
   *
   * @param today days after tomorrow are out of range
   */
  async page(start: ScanStart, today: Day, signal: AbortSignal, pageDays = PAGE_DAYS): Promise<ArrivalPage> {
    const { tenant_id, created_at } = this.#fields;
    const filter = {
      _id: "after" in start ? { $gt: start.after, $lte: LAST_ID } : { $gte: firstId(start.since), $lte: LAST_ID },
    };
    return this.#events.byId(async (collection, settings) => {
      const projection = { [tenant_id]: 1, [created_at]: 1 };
      const cursor = collection.find(filter, { ...settings, sort: { _id: 1 }, projection, batchSize: BATCH, signal });
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
    });
  }

  /** The number of events of a tenant-day, by the index that rebuilds use; undefined if that takes too long. */
  async count(tenant: string, date: Day, options: ReadOptions): Promise<bigint | undefined> {
    const range = { tenant, ...dayBounds(date, this.#timeZone) };
    const pipeline = [{ $match: matchRange(range, this.#fields) }, { $group: { _id: null, n: { $sum: 1 } } }];
    try {
      const [counted] = await this.#events.throughIndex((collection, settings) =>
        collection.aggregate<{ n: Int32 | Long }>(pipeline, { ...settings, ...limits(options) }).toArray(),
      );
      return counted ? BigInt(counted.n.toString()) : 0n;
    } catch (error) {
      if (isOutOfTime(error)) return undefined;
      throw error;
    }
  }

  /** A type other than ObjectId among the ids, whose events a scan may never find; undefined = none. */
  async foreignIdType(signal: AbortSignal): Promise<string | undefined> {
    return this.#events.byId(async (collection, settings) => {
      for (const [type, range] of FOREIGN_IDS) {
        const found = await collection.findOne({ _id: range }, { ...settings, projection: { _id: 1 }, signal });
        if (found) return type;
      }
      return undefined;
    });
  }
}

/** The lowest ObjectId made in the second of an instant. */
function firstId(instant: number): ObjectId {
  return ObjectId.createFromTime(Math.min(Math.max(0, Math.floor(instant / 1_000)), LAST_ID_SECOND));
}

/** Collects the tenant-days of events, which were read with `promoteValues: false`. */
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

  /** The number of tenant-days so far. */
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

/** The value at a field path, or an array on that path, which also makes the event invisible to rebuilds. */
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

/** Computes the days of many instants, with a cache by UTC date, since calendar arithmetic is slow. */
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

  /** undefined if the instant is before the first or after the last day that counts; a Date out of range is NaN. */
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
