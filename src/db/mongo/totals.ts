import { ObjectId, type Document } from "mongodb";
import { isOutOfTime } from "../../mongo/errors.ts";
import { noMeasures, type Measures } from "../../usage/measures.ts";
import type { EventCollection } from "./event-collection.ts";
import { decodePlain, decodeStrict, STRICT_DAYS, timedOut, type PackedGroup } from "./events.ts";
import { plainPipeline, strictPipeline, type TenantRange } from "./pipeline.ts";
import { limits, type ReadOptions } from "./read.ts";

/** The pipeline with a single group: the same sums under the same proof, and almost nothing to send. */
export function ungrouped(pipeline: readonly Document[]): Document[] {
  return pipeline.map((stage) =>
    "$group" in stage ? { $group: { ...(stage["$group"] as Document), _id: {} } } : stage,
  );
}

/** Sums a tenant's range over all users, models and providers: an audit compares these sums first. */
export class TotalsReader {
  readonly #events: EventCollection;
  /** tenants whose last range was not plain -> how many further ranges go directly to the strict pipeline */
  readonly #strict = new Map<string, number>();

  constructor(events: EventCollection) {
    this.#events = events;
  }

  /**
   * @param arrivedFrom only events whose `_id` is an ObjectId made at this time (milliseconds since the epoch) or later
   * @throws TenantDayError if a sum is past 64 bits, or the server gives up
   */
  async readTotals(range: TenantRange, options: ReadOptions, arrivedFrom?: number): Promise<Measures> {
    const bounded = (pipeline: Document[]): Document[] =>
      arrivedFrom === undefined ? pipeline : pipeline.toSpliced(1, 0, arrivedSince(arrivedFrom));
    const strictRanges = this.#strict.get(range.tenant) ?? 0;
    if (strictRanges > 0) {
      this.#strict.set(range.tenant, strictRanges - 1);
    } else {
      this.#strict.delete(range.tenant);
      const group = await this.#run(bounded(plainPipeline(range, this.#events.fields)), options);
      if (!group) return noMeasures();
      const plain = decodePlain(group);
      if (plain) return plain.sums;
      this.#strict.set(range.tenant, STRICT_DAYS);
    }
    const group = await this.#run(bounded(strictPipeline(range, this.#events.fields)), options);
    return group ? decodeStrict(group).sums : noMeasures();
  }

  async #run(pipeline: Document[], options: ReadOptions): Promise<PackedGroup | undefined> {
    try {
      const groups = await this.#events.throughIndex((collection, settings) => {
        const read = { ...settings, ...limits(options), allowDiskUse: true, comment: "tallyman audit" };
        return collection.aggregate<PackedGroup>(ungrouped(pipeline), read).toArray();
      });
      return groups[0];
    } catch (error) {
      if (!isOutOfTime(error)) throw error;
      throw await timedOut(this.#events, options, error);
    }
  }
}

/** An ObjectId begins with the second it was made in. */
function arrivedSince(instant: number): Document {
  const second = Math.max(0, Math.floor(instant / 1_000));
  return { $match: { _id: { $gte: ObjectId.createFromTime(second), $type: "objectId" } } };
}
