import { MongoClient, type Collection, type Document } from "mongodb";
import { withMongoDatabase } from "../../dev/servers.ts";
import { addDays, dayOf } from "../support/civil-day.ts";
import { hostileEvents } from "../support/hostile.ts";
import { oracle, type OracleDay } from "../support/oracle.ts";
import { sampleEvents } from "../support/sample.ts";

/** A zone whose days are not UTC's. */
export const TIME_ZONE = "Europe/Berlin";
const DATABASE = "tallyman_faults";
const HOSTILE_DAYS = 3;
const INSERT_BATCH = 5_000;

/** How many events there are. */
export interface SourceShape {
  readonly seed: number;
  /** days up to yesterday on which the plain tenants have events */
  readonly days: number;
  /** plain tenants, and the events of each of their days */
  readonly tenants: number;
  readonly perDay: number;
  /** events on each day of the tenant "large" */
  readonly largePerDay: number;
}

/** Some 630 tenant-days of 25,000 events: several seconds of work for one process. */
export const USUAL_SHAPE = { days: 45, tenants: 12, perDay: 20, largePerDay: 300 } as const;

/** Events in a MongoDB, which never change, and the expected figures of every tenant-day. */
export interface Source {
  /** with the database in its path */
  readonly uri: string;
  readonly collection: Collection;
  /** the days that hold every event but today's */
  readonly from: string;
  readonly to: string;
  readonly expected: ReadonlyMap<string, OracleDay>;
  close(): Promise<void>;
}

/** Plain events of some tenants on many days, and hostile ones on the last three, in a database of that server. */
export async function createSource(server: string, shape: SourceShape): Promise<Source> {
  const uri = withMongoDatabase(server, DATABASE);
  const client = new MongoClient(uri, { enableUtf8Validation: false });
  const collection = client.db().collection("token_usage_events");
  await collection.createIndex({ tenant_id: 1, created_at: -1 });
  await collection.createIndex({ tenant_id: 1, user_id: 1, created_at: -1 });
  const now = new Date();
  const to = addDays(dayOf(TIME_ZONE, now.getTime()), -1);
  const from = addDays(to, 1 - shape.days);
  const events = [...plainEvents(shape, from), ...hostileEventsOf(shape, to)];
  for (let at = 0; at < events.length; at += INSERT_BATCH) {
    await collection.insertMany(events.slice(at, at + INSERT_BATCH), { ordered: false });
  }
  return {
    uri,
    collection,
    from,
    to,
    expected: oracle(events, { timeZone: TIME_ZONE, now }).days,
    close: () => client.close(),
  };
}

function plainEvents(shape: SourceShape, from: string): Document[] {
  const events: Document[] = [];
  const tenants = Array.from({ length: shape.tenants }, (_, number) => `tenant-${number}`);
  for (const tenant of [...tenants, "large"]) {
    const perDay = tenant === "large" ? shape.largePerDay : shape.perDay;
    for (let day = 0; day < shape.days; day++) {
      const noon = Date.parse(`${addDays(from, day)}T12:00:00Z`);
      events.push(
        ...sampleEvents(perDay, (number) => ({
          tenant_id: tenant,
          user_id: `user-${number % 50}`,
          model: `model-${number % 4}`,
          prompt_tokens: 1 + number + day,
          created_at: new Date(noon + number * 1_000),
        })),
      );
    }
  }
  return events;
}

function hostileEventsOf({ seed }: SourceShape, to: string): Document[] {
  const options = { seed, from: addDays(to, 1 - HOSTILE_DAYS), days: HOSTILE_DAYS, timeZone: TIME_ZONE };
  return [...hostileEvents({ ...options, perDay: 400 })];
}
