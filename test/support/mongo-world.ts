import { randomBytes } from "node:crypto";
import { MongoClient, type Collection, type Db, type Document } from "mongodb";
import { afterEach, inject } from "vitest";
import { loadConfig, type Config } from "../../src/config.ts";
import { CLIENT_OPTIONS } from "../../src/db/mongo/client.ts";
import { insertEvents } from "./insert-events.ts";
import { openedOnce } from "./opened.ts";

type Settings = Readonly<Record<string, string>>;

/** A collection of events of a test's own, on a server that need be nothing but a MongoDB. */
export interface MongoWorld {
  readonly config: Config;
  readonly db: Db;
  readonly events: Collection;
  /** inserts events, however many */
  insert(events: Iterable<Document>): Promise<void>;
  close(): Promise<void>;
}

/** A world for all tests of the file, with the index that reads need and no event. Settings are named as in an environment. */
export function useMongoWorld(purpose: string, settings?: Settings): MongoWorld {
  return openedOnce(() => createMongoWorld(purpose, settings));
}

/** What opens worlds within a test, with settings of its own; they are closed after the test. */
export function useMongoWorlds(purpose: string): (settings?: Settings) => Promise<MongoWorld> {
  const worlds: MongoWorld[] = [];
  afterEach(async () => {
    for (const world of worlds.splice(0)) await world.close();
  });
  return async (settings) => {
    const world = await createMongoWorld(purpose, settings);
    worlds.push(world);
    return world;
  };
}

async function createMongoWorld(purpose: string, settings: Settings = {}): Promise<MongoWorld> {
  const name = `${purpose}_${randomBytes(4).toString("hex")}`;
  const config = loadConfig({ EVENTS_COLLECTION: name, ...settings });
  const client = new MongoClient(inject("mongodbUri"), CLIENT_OPTIONS);
  const db = client.db(inject("scratchDatabase"));
  const events = db.collection(name);
  const { tenant_id, created_at } = config.eventsFields;
  await events.createIndex({ [tenant_id]: 1, [created_at]: -1 }, { name: "idx_tenant_date" });
  return {
    config,
    db,
    events,
    insert: (documents) => insertEvents(events, documents),
    async close() {
      await events.drop();
      await client.close();
    },
  };
}
