import { Long, type Collection, type Document } from "mongodb";
import { EventReader } from "../../src/db/mongo/events.ts";
import { dayBounds } from "../../src/usage/day.ts";
import type { Rollup } from "../../src/usage/rollup.ts";
import { eventsOf } from "./event-collection.ts";
import type { World } from "./world.ts";

/** Only the strict pipeline counts the malformed. */
const isStrictGroup = (stage: Document) => "malformed" in ((stage["$group"] ?? {}) as Document);

/** A reader, and which pipelines it has sent. @param change made to each pipeline */
export function watchedReader(
  { config, events }: Pick<World, "config" | "events">,
  change: (pipeline: Document[]) => Document[] = (pipeline) => pipeline,
) {
  const sent: ("plain" | "strict")[] = [];
  const collection: Collection = new Proxy(events, {
    get(target, name) {
      if (name !== "aggregate") return Reflect.get(target, name, target) as unknown;
      return (pipeline: Document[], settings: object) => {
        sent.push(pipeline.some(isStrictGroup) ? "strict" : "plain");
        return target.aggregate(change(pipeline), settings);
      };
    },
  });
  const reader = new EventReader(eventsOf({ config, events }, collection));
  const read = (tenant: string, day: string): Promise<Rollup> =>
    reader.readDay(tenant, dayBounds(day, "UTC"), { maxTimeMs: 600_000, signal: new AbortController().signal });
  return { reader, sent, read };
}

/** Makes each event of the strict pipeline count as many, on the server: nobody inserts ten million events here. */
export function multiplied(factor: string) {
  return (pipeline: Document[]): Document[] =>
    pipeline.map((stage) => {
      if (!isStrictGroup(stage)) return stage;
      const group = stage["$group"] as Record<string, { $sum: unknown }>;
      return {
        $group: { ...group, prompt: { $sum: { $multiply: [group["prompt"]?.$sum, Long.fromString(factor)] } } },
      };
    });
}
