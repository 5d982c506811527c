import type { Collection } from "mongodb";
import { TENANT_DATE_INDEX } from "../../manifests/usage.ts";
import { EventCollection } from "../../src/db/mongo/event-collection.ts";
import type { World } from "./world.ts";

/** The events of a world as readers take them. @param collection a stand-in for the world's own, which watches it */
export function eventsOf({ config, events }: Pick<World, "config" | "events">, collection: Collection = events) {
  return new EventCollection(collection, config.eventsFields, () => Promise.resolve(TENANT_DATE_INDEX));
}
