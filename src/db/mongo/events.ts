import type { Double } from "mongodb";
import { Decimal128, Int32, Long, MongoServerError, type Document } from "mongodb";
import { isOutOfTime, isTooLarge } from "../../mongo/errors.ts";
import { scaled, whole, type Whole } from "../../usage/decimal.ts";
import type { DayBounds } from "../../usage/day.ts";
import { DIMENSIONS, type Keys } from "../../usage/dimensions.ts";
import type { MalformedField } from "../../usage/malformed.ts";
import { cleanKey, UNKNOWN_KEY } from "../../usage/keys.ts";
import { COSTS, MEASURES, noMeasures, WHOLES, type MeasureName } from "../../usage/measures.ts";
import { RollupBuilder, type Group, type Rollup } from "../../usage/rollup.ts";
import type { EventCollection } from "./event-collection.ts";
import { idText, readDecimal128 } from "./ids.ts";
import { decodeMalformed, malformedPipeline, type MalformedGroup } from "./malformed.ts";
import { ODD_EVENT, packed, plainPipeline, strictPipeline, type TenantRange } from "./pipeline.ts";
import { limits, type ReadOptions } from "./read.ts";

/** A tenant-day that no retry can read: it alone counts as failed, and its chunk continues. */
export class TenantDayError extends Error {
  override readonly name = "TenantDayError";
}

const INT64_MAX = 2n ** 63n - 1n;

/** A tenant whose events lack a measure never has a plain day; one try in thirty costs it 2 % at most. */
export const STRICT_DAYS = 30;

/** Events in one aggregation: some seconds of work, so that the time limit is far away. */
const SLICE_EVENTS = 2_000_000;

/** A slice this short that takes too long is not slow because of its size. */
const SHORTEST_SLICE_MS = 10 * 60_000;

/** The error of a range that took too long, which says why where that can be known. */
export async function timedOut(
  events: EventCollection,
  { maxTimeMs, signal }: ReadOptions,
  cause: unknown,
): Promise<TenantDayError> {
  const why = await events.slowness(signal).catch(() => undefined);
  const reason = why === undefined ? "" : `: ${why}`;
  return new TenantDayError(`the read took longer than ${maxTimeMs} ms${reason}`, { cause });
}

/** Reads tenant-days of one events collection, summed on the server. */
export class EventReader {
  readonly #events: EventCollection;
  /** Tenants whose last day was not plain -> so many further days go to the strict pipeline at once. */
  readonly #strict = new Map<string, number>();
  /** Tenants whose last day had to be halved -> its number of slices, with which the next day begins. */
  readonly #slices = new Map<string, number>();

  constructor(events: EventCollection) {
    this.#events = events;
  }

  /**
   * Sums one tenant's day. A day that is expected to be large is read in slices of time; a slice that takes too long,
   * or whose groups do not fit into one answer, is halved until it does. The whole is one read: the stamp of the day
   * has to be taken before it.
   *
   * @throws TenantDayError where a sum is past 64 bits, one millisecond's groups are too large for an answer, or even
   *   a short slice takes too long
   */
  async readDay(tenant: string, { start, end }: DayBounds, options: ReadOptions): Promise<Rollup> {
    const builder = new RollupBuilder();
    const slices = Math.max(this.#slices.get(tenant) ?? 1, Math.ceil((options.expected ?? 0) / SLICE_EVENTS));
    const edge = (n: number) => start + Math.floor(((end - start) * n) / slices);
    let read = 0;
    for (let n = 0; n < slices; n++) {
      read += await this.#readRange({ tenant, start: edge(n), end: edge(n + 1) }, builder, options);
    }
    if (read > slices) this.#slices.set(tenant, read);
    const rollup = builder.build();
    if (WHOLES.some((name) => rollup.totals[name] > INT64_MAX)) {
      throw new TenantDayError("the sum of the day's tokens is past 64 bits");
    }
    return rollup;
  }

  /** The malformed fields of a tenant's day; undefined if the server gives up or refuses: they are no part of the row. */
  async locateMalformed(
    tenant: string,
    { start, end }: DayBounds,
    options: ReadOptions,
  ): Promise<MalformedField[] | undefined> {
    const pipeline = malformedPipeline({ tenant, start, end }, this.#events.fields);
    try {
      return decodeMalformed(await this.#aggregate<MalformedGroup>(pipeline, options));
    } catch (error) {
      if (error instanceof MongoServerError && !options.signal.aborted) return undefined;
      throw error;
    }
  }

  /** @returns in how many slices the range was read */
  async #readRange(range: TenantRange, builder: RollupBuilder, options: ReadOptions): Promise<number> {
    let groups: readonly Group[];
    try {
      groups = await this.#readGroups(range, options);
    } catch (error) {
      const isLate = isOutOfTime(error);
      if (!isLate && !isTooLarge(error)) throw error;
      if (isLate && range.end - range.start <= SHORTEST_SLICE_MS) throw await timedOut(this.#events, options, error);
      const middle = Math.floor((range.start + range.end) / 2);
      if (middle === range.start)
        throw new TenantDayError("the groups of one millisecond are too large", { cause: error });
      const first = await this.#readRange({ ...range, end: middle }, builder, options);
      return first + (await this.#readRange({ ...range, start: middle }, builder, options));
    }
    for (const group of groups) builder.add(group);
    return 1;
  }

  async #readGroups(range: TenantRange, options: ReadOptions): Promise<readonly Group[]> {
    const strictDays = this.#strict.get(range.tenant) ?? 0;
    if (strictDays > 0) {
      this.#strict.set(range.tenant, strictDays - 1);
    } else {
      this.#strict.delete(range.tenant);
      const groups = (await this.#run(plainPipeline(range, this.#events.fields), options)).map(decodePlain);
      if (groups.every((group) => group !== undefined)) return groups;
      this.#strict.set(range.tenant, STRICT_DAYS);
    }
    return (await this.#run(strictPipeline(range, this.#events.fields), options)).map(decodeStrict);
  }

  async #run(pipeline: Document[], options: ReadOptions): Promise<PackedGroup[]> {
    const read = this.#aggregate<{ groups: PackedGroup[] }>(packed(pipeline), options);
    const documents = await read.finally(options.onRead);
    return documents.flatMap(({ groups }) => groups);
  }

  #aggregate<T extends Document>(pipeline: Document[], options: ReadOptions): Promise<T[]> {
    return this.#events.throughIndex((collection, settings) =>
      collection.aggregate<T>(pipeline, { ...settings, ...limits(options), allowDiskUse: true }).toArray(),
    );
  }
}

type BsonNumber = Int32 | Long | Double | Decimal128;

/** One group as the server sends it: the number of events in `n`, and a sum for each other measure. */
export type PackedGroup = Readonly<Record<Exclude<MeasureName, "requests"> | "n", BsonNumber>> & {
  readonly _id: Readonly<Record<string, unknown>>;
  readonly malformed?: BsonNumber;
};

const sumIn = (group: PackedGroup, name: MeasureName): BsonNumber => group[name === "requests" ? "n" : name];

/** A group of the plain pipeline; undefined = its proof fails. */
export function decodePlain(group: PackedGroup): Group | undefined {
  const sums = noMeasures();
  for (const name of WHOLES) {
    const sum = toWhole(sumIn(group, name));
    if (sum === undefined) return undefined;
    sums[name] = sum;
  }
  if (sums.requests >= ODD_EVENT) return undefined;
  for (const name of COSTS) sums[name] = toCost(sumIn(group, name));
  const { keys, isMalformed } = decodeKeys(group._id);
  return { keys, sums, malformed: isMalformed ? sums.requests : 0 };
}

/** A group of the strict pipeline. @throws TenantDayError where a sum is past 64 bits */
export function decodeStrict(group: PackedGroup): Group {
  const { keys, isMalformed } = decodeKeys(group._id);
  const sums = noMeasures();
  for (const { name, column, kind } of MEASURES) {
    if (kind === "cost") sums[name] = toCost(group[name]);
    else sums[name] = sumOf(sumIn(group, name), column.replaceAll("_", " "));
  }
  const malformed = isMalformed ? sums.requests : sumOf(group.malformed ?? new Int32(0), "malformed events");
  return { keys, sums, malformed };
}

function sumOf(value: BsonNumber, what: string): Whole {
  const sum = toWhole(value);
  if (sum === undefined) throw new TenantDayError(`the sum of ${what} is past 64 bits`);
  return sum;
}

/** An integer type's value, or undefined for a double or a decimal. */
function toWhole(value: BsonNumber): Whole | undefined {
  if (value instanceof Int32) return value.value;
  if (value instanceof Long) return whole(value.toBigInt());
  return undefined;
}

/** In units of 10^-18; a sum without any decimal in it comes back as an integer. */
function toCost(value: BsonNumber): bigint {
  if (value instanceof Decimal128) {
    const { coefficient, exponent, finite } = readDecimal128(value);
    if (!finite) throw new TenantDayError("the sum of costs is not finite");
    return scaled(coefficient, exponent);
  }
  const integer = toWhole(value);
  if (integer === undefined) throw new TenantDayError("the sum of costs is a double");
  return scaled(BigInt(integer), 0);
}

/**
 * The keys of a group as text. A missing, null or empty key becomes `__unknown__`. So does a key of another type, which
 * makes all events of the group malformed; only a dimension of ids accepts ids of other types than text.
 */
function decodeKeys(id: PackedGroup["_id"]): { keys: Keys; isMalformed: boolean } {
  let isMalformed = false;
  const keys = {} as Record<keyof Keys, string>;
  for (const dimension of DIMENSIONS) {
    const { name, key } = dimension;
    const value = id[key];
    const text = typeof value === "string" ? value : "isId" in dimension ? idText(value) : undefined;
    if (text === undefined && value !== null && value !== undefined) isMalformed = true;
    keys[name] = text ? cleanKey(text) : UNKNOWN_KEY;
  }
  return { keys, isMalformed };
}
