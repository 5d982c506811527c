import { MongoServerError, ObjectId, type Collection, type Document } from "mongodb";
import type { FieldMap } from "../../usage/event.ts";
import { noMeasures, type Measures } from "../../usage/measures.ts";
import { decodePlain, decodeStrict, STRICT_DAYS, TenantDayError, type PackedGroup } from "./events.ts";
import { plainPipeline, strictPipeline, type TenantRange } from "./pipeline.ts";
import { aggregation, TIMED_OUT, type ReadOptions } from "./read.ts";

/** The pipeline with a single group: the same sums under the same proof, and almost nothing to send. */
export function ungrouped(pipeline: readonly Document[]): Document[] {
  return pipeline.map((stage) =>
    "$group" in stage ? { $group: { ...(stage["$group"] as Document), _id: {} } } : stage,
  );
}

/** Sums a tenant's range over all users, models and providers: an audit compares these sums first. */
export class TotalsReader {
  readonly #collection: Collection;
  readonly #fields: FieldMap;
  /** tenants whose last range was not plain -> how many further ranges go directly to the strict pipeline */
  readonly #strict = new Map<string, number>();

  constructor(collection: Collection, fields: FieldMap) {
    this.#collection = collection;
    this.#fields = fields;
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
      const group = await this.#run(bounded(plainPipeline(range, this.#fields)), options);
      if (!group) return noMeasures();
      const plain = decodePlain(group);
      if (plain) return plain.sums;
      this.#strict.set(range.tenant, STRICT_DAYS);
    }
    const group = await this.#run(bounded(strictPipeline(range, this.#fields)), options);
    return group ? decodeStrict(group).sums : noMeasures();
  }

  async #run(pipeline: Document[], options: ReadOptions): Promise<PackedGroup | undefined> {
    const read = aggregation(this.#fields, options, "tallyman audit");
    const cursor = this.#collection.aggregate<PackedGroup>(ungrouped(pipeline), read);
    try {
      return (await cursor.toArray())[0];
    } catch (error) {
      if (!(error instanceof MongoServerError) || Number(error.code) !== TIMED_OUT) throw error;
      throw new TenantDayError(`the read took longer than ${options.maxTimeMs} ms`, { cause: error });
    }
  }
}

/** An ObjectId begins with the second it was made in. */
function arrivedSince(instant: number): Document {
  const second = Math.max(0, Math.floor(instant / 1_000));
  return { $match: { _id: { $gte: ObjectId.createFromTime(second), $type: "objectId" } } };
}
