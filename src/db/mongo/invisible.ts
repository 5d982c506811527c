import { MongoServerError, type Collection, type Document } from "mongodb";
import type { DayBounds } from "../../usage/day.ts";
import type { FieldMap } from "../../usage/event.ts";
import type { EventSample } from "../../usage/finding.ts";
import { INVISIBLE_REASONS, type InvisibleCounts, type InvisibleReason } from "../../usage/invisible.ts";
import {
  decodeNames,
  decodeSample,
  namesPipeline,
  SampleError,
  samplePipeline,
  type NamedFields,
  type Sampled,
  type SampledGroup,
} from "./event-sample.ts";
import { invisibleReason } from "./invisible-reason.ts";
import { aggregation, TIMED_OUT, type ReadOptions } from "./read.ts";

/**
 * Counts the events of the whole collection that no rebuild can see: one group for each reason, and one for all visible
 * events. An array on the path to a nested field makes its value an array, which is a wrong type.
 *
 * @param visible from the start of the first day that counts to the end of tomorrow
 */
export function invisiblePipeline(visible: DayBounds, fields: FieldMap): Document[] {
  return [{ $group: { _id: invisibleReason(visible, fields), n: { $sum: 1 } } }];
}

/** Counts and samples the invisible events of one collection. */
export class InvisibleReader {
  readonly fields: FieldMap;
  readonly #collection: Collection;

  constructor(collection: Collection, fields: FieldMap) {
    this.#collection = collection;
    this.fields = fields;
  }

  /** The name of the collection. */
  get collection(): string {
    return this.#collection.collectionName;
  }

  /** Reads every event of the collection. */
  async count(visible: DayBounds, options: ReadOptions): Promise<InvisibleCounts> {
    const groups = await this.#collection
      .aggregate<{ _id: InvisibleReason | null; n: number }>(invisiblePipeline(visible, this.fields), {
        ...aggregation(this.fields, options, "tallyman audit"),
        promoteValues: true,
      })
      .toArray();
    const counts = new Map(groups.map(({ _id, n }) => [_id, n]));
    return Object.fromEntries(INVISIBLE_REASONS.map((reason) => [reason, counts.get(reason) ?? 0])) as InvisibleCounts;
  }

  /** Judges some events, and tells which fields they have. @throws SampleError if the server refuses or takes too long */
  async sample(sampled: Sampled, visible: DayBounds, options: ReadOptions): Promise<EventSample> {
    const pipeline = samplePipeline(sampled, visible, this.fields);
    return decodeSample(await this.#take<SampledGroup>(pipeline, sampled.which === "newest", options), this.fields);
  }

  /** The names of fields that the newest events have. @throws SampleError if the server refuses or takes too long */
  async fieldNames(options: ReadOptions): Promise<string[]> {
    return decodeNames(await this.#take<NamedFields>(namesPipeline(), true, options));
  }

  async #take<Group extends Document>(pipeline: Document[], byId: boolean, options: ReadOptions): Promise<Group[]> {
    const through = { ...aggregation(this.fields, options), ...(byId && { hint: { _id: 1 } }) };
    try {
      return await this.#collection.aggregate<Group>(pipeline, through).toArray();
    } catch (error) {
      if (!(error instanceof MongoServerError) || options.signal.aborted) throw error;
      const limit = Number(error.code) === TIMED_OUT ? ` within ${options.maxTimeMs} ms` : "";
      throw new SampleError(`the server returned no sample${limit}: ${error.message}`, { cause: error });
    }
  }
}
