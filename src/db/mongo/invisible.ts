import { MongoServerError, type Document } from "mongodb";
import { isOutOfTime } from "../../mongo/errors.ts";
import { OperatorError } from "../../errors.ts";
import type { DayBounds } from "../../usage/day.ts";
import type { FieldMap } from "../../usage/event.ts";
import type { EventSample } from "../../usage/finding.ts";
import { INVISIBLE_REASONS, type InvisibleCounts, type InvisibleReason } from "../../usage/invisible.ts";
import type { EventCollection } from "./event-collection.ts";
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
import { limits, type ReadOptions } from "./read.ts";

/**
 * Counts the events of the whole collection that no rebuild can see: one group for each reason, and one for all visible
 * events. An array on the path to a nested field makes its value an array, which is a wrong type.
 *
 * @param visible from the start of the first day that counts to the end of tomorrow
 */
export function invisiblePipeline(visible: DayBounds, fields: FieldMap): Document[] {
  return [{ $group: { _id: invisibleReason(visible, fields), n: { $sum: 1 } } }];
}

interface Counted {
  readonly _id: InvisibleReason | null;
  readonly n: number;
}

/** Counts and samples the invisible events of one collection. */
export class InvisibleReader {
  readonly fields: FieldMap;
  readonly #events: EventCollection;

  constructor(events: EventCollection) {
    this.#events = events;
    this.fields = events.fields;
  }

  /** The name of the collection. */
  get collection(): string {
    return this.#events.name;
  }

  /** Reads every event of the collection. */
  async count(visible: DayBounds, options: ReadOptions): Promise<InvisibleCounts> {
    const groups = await this.#events.throughIndex((collection, settings) => {
      const read = { ...settings, ...limits(options), promoteValues: true, comment: "tallyman audit" };
      return collection.aggregate<Counted>(invisiblePipeline(visible, this.fields), read).toArray();
    });
    const counts = new Map(groups.map(({ _id, n }) => [_id, n]));
    return Object.fromEntries(INVISIBLE_REASONS.map((reason) => [reason, counts.get(reason) ?? 0])) as InvisibleCounts;
  }

  /** Judges some events, and tells which fields they have. @throws SampleError if the server refuses or takes too long */
  async sample(sampled: Sampled, visible: DayBounds, options: ReadOptions): Promise<EventSample> {
    const way = sampled.which === "newest" ? "byId" : "throughIndex";
    const pipeline = samplePipeline(sampled, visible, this.fields);
    return decodeSample(await this.#take<SampledGroup>(way, pipeline, options), this.fields);
  }

  /** The names of fields that the newest events have. @throws SampleError if the server refuses or takes too long */
  async fieldNames(options: ReadOptions): Promise<string[]> {
    return decodeNames(await this.#take<NamedFields>("byId", namesPipeline(), options));
  }

  async #take<Group extends Document>(
    way: "byId" | "throughIndex",
    pipeline: Document[],
    options: ReadOptions,
  ): Promise<Group[]> {
    try {
      return await this.#events[way]((collection, settings) =>
        collection.aggregate<Group>(pipeline, { ...settings, ...limits(options) }).toArray(),
      );
    } catch (error) {
      const isRefused = error instanceof MongoServerError || error instanceof OperatorError; // or without its index
      if (!isRefused || options.signal.aborted) throw error;
      const limit = isOutOfTime(error) ? ` within ${options.maxTimeMs} ms` : "";
      throw new SampleError(`the server returned no sample${limit}: ${error.message}`, { cause: error });
    }
  }
}
