import { hostname } from "node:os";
import type { Redis } from "ioredis";
import type { Collection, Db, MongoClient } from "mongodb";
import { computeSettings, requireConnection, type ComputeSettings, type Config } from "./config.ts";
import type { ArrivalReader } from "./db/mongo/arrivals.ts";
import type { EventReader } from "./db/mongo/events.ts";
import type { InvisibleReader } from "./db/mongo/invisible.ts";
import type { TotalsReader } from "./db/mongo/totals.ts";
import { Audits } from "./db/postgres/cache/audits.ts";
import { Chunks } from "./db/postgres/runs/chunks.ts";
import { agreeOnSettings } from "./db/postgres/meta.ts";
import { requireMigrated } from "./db/postgres/migrate.ts";
import { createPool, pingPostgres, type Pool } from "./db/postgres/pool.ts";
import { DueWork } from "./db/postgres/runs/due.ts";
import { Runs } from "./db/postgres/runs/runs.ts";
import { Session } from "./db/postgres/session.ts";
import type { Tenants } from "./rebuild/tenants.ts";
import { newestReport, requireIndexes, type StatsReport } from "./indexes/index.ts";
import type { Logger } from "./log.ts";
import type { Queues } from "./queues/queues.ts";
import { IndexKeeper, OWN_MANIFEST } from "./services/keeper.ts";
import { dayOf, type Day } from "./usage/day.ts";
import type { Retention } from "./usage/horizon.ts";

const LOOKED_AT_MS = 5_000;

interface Mongo {
  readonly client: MongoClient;
  readonly db: Db;
  readonly collection: Collection;
}

/** The source of events, connected. */
export interface Source extends Mongo {
  readonly events: EventReader;
  readonly tenants: Tenants;
  readonly arrivals: ArrivalReader;
  readonly totals: TotalsReader;
  readonly invisible: InvisibleReader;
}

/**
 * The servers and what stands on them, each opened when it is first asked for and kept until close(). A command asks
 * for what it needs; what it does not need may be down.
 */
export class Services {
  readonly config: Config;
  readonly log: Logger;
  readonly settings: ComputeSettings;
  readonly keeper: IndexKeeper;
  #pool: Pool | undefined;
  #migrated: Promise<void> | undefined;
  #agreed: Promise<void> | undefined;
  #retention: { readonly value: Promise<Retention>; readonly until: number } | undefined;
  #required: { readonly value: Promise<void>; readonly until: number } | undefined;
  #mongo: Promise<Mongo> | undefined;
  #source: Promise<Source> | undefined;
  #redis: Promise<Redis> | undefined;
  #queues: Queues | undefined;
  #session: Promise<Session> | undefined;

  constructor(config: Config, log: Logger) {
    this.config = config;
    this.log = log;
    this.settings = computeSettings(config);
    this.keeper = new IndexKeeper(config);
  }

  /** Today in the reporting time zone. */
  readonly today = (): Day => dayOf(Date.now(), this.config.timeZone);

  /** PostgreSQL, whether or not it has the tables. Two connections a chunk: one reads the clock while the other writes. */
  async rawPool(): Promise<Pool> {
    if (!this.#pool) {
      const size = 2 * (this.config.workerConcurrency + 1) + 2;
      this.#pool = createPool(requireConnection(this.config, "databaseUrl"), size, (err) =>
        this.log.warn({ err }, "an idle connection to PostgreSQL was lost"),
      );
      await pingPostgres(this.#pool);
    }
    return this.#pool;
  }

  /** PostgreSQL with the tables of this version. */
  async pool(): Promise<Pool> {
    const pool = await this.rawPool();
    await (this.#migrated ??= requireMigrated(pool));
    return pool;
  }

  /** PostgreSQL, whose rows were computed under the settings of this process; the first process ever settles them. */
  async agreedPool(): Promise<Pool> {
    const pool = await this.pool();
    await (this.#agreed ??= agreeOnSettings(pool, this.settings));
    return pool;
  }

  async runs(): Promise<Runs> {
    return new Runs(await this.agreedPool(), this.settings.hash);
  }

  async due(): Promise<DueWork> {
    return new DueWork(await this.agreedPool(), this.settings.hash);
  }

  async chunks(): Promise<Chunks> {
    return new Chunks(await this.agreedPool(), this.settings.hash, `${hostname()}:${process.pid}`);
  }

  async audits(): Promise<Audits> {
    return new Audits(await this.pool());
  }

  /** MongoDB with the collection of events. */
  #openMongo(): Promise<Mongo> {
    this.#mongo ??= (async () => {
      const uri = requireConnection(this.config, "mongodbUri");
      const { connectMongo } = await import("./db/mongo/client.ts"); // the driver is slow to load
      const { client, db } = await connectMongo(uri);
      return { client, db, collection: db.collection(this.config.eventsCollection) };
    })();
    return this.#mongo;
  }

  /** The events; the index that every read goes through must be there, and it must be told how long they are kept. */
  source(): Promise<Source> {
    this.#source ??= (async () => {
      const { eventsFields, timeZone } = this.config;
      const pool = await this.agreedPool();
      const mongo = await this.#openMongo();
      await this.requireIndexes();
      await this.retention(); // or an error that says what must be set
      const { collection } = mongo;
      const { EventReader } = await import("./db/mongo/events.ts");
      const { TenantReader } = await import("./db/mongo/tenants.ts");
      const { ArrivalReader } = await import("./db/mongo/arrivals.ts");
      const { TotalsReader } = await import("./db/mongo/totals.ts");
      const { InvisibleReader } = await import("./db/mongo/invisible.ts");
      const { Tenants } = await import("./rebuild/tenants.ts");
      return {
        ...mongo,
        events: new EventReader(collection, eventsFields),
        tenants: new Tenants(new TenantReader(collection, eventsFields, timeZone), pool, this.today),
        arrivals: new ArrivalReader(collection, eventsFields, timeZone),
        totals: new TotalsReader(collection, eventsFields),
        invisible: new InvisibleReader(collection, eventsFields),
      };
    })();
    return this.#source;
  }

  /** The indexes without which no rebuild may begin, looked for every few seconds at most: a DBA may drop one any time. */
  readonly requireIndexes = async (): Promise<void> => {
    if (!this.#required || this.#required.until < Date.now()) {
      const value = (async () => {
        const [{ db }, pool, manifest] = await Promise.all([
          this.#openMongo(),
          this.pool(),
          this.keeper.manifest(OWN_MANIFEST),
        ]);
        await requireIndexes(manifest, db, pool);
      })();
      this.#required = { value, until: Date.now() + LOOKED_AT_MS };
      value.catch(() => (this.#required = undefined));
    }
    return this.#required.value;
  };

  /** For how long raw events are kept, known for a few seconds: a DBA may set a TTL at any time. */
  readonly retention = async (anew?: "anew"): Promise<Retention> => {
    const { collection } = await this.#openMongo();
    const { eventsFields, eventsRetentionDays } = this.config;
    if (anew || !this.#retention || this.#retention.until < Date.now()) {
      // Kept before anything is waited for, so that reads which ask at once share one look.
      const value = import("./db/mongo/retention.ts").then(({ readRetention }) =>
        readRetention(collection, eventsFields, eventsRetentionDays),
      );
      this.#retention = { value, until: Date.now() + LOOKED_AT_MS };
      value.catch(() => (this.#retention = undefined));
    }
    return this.#retention.value;
  };

  /** Redis, for a command: an error at once where it does not answer. */
  redis(): Promise<Redis> {
    this.#redis ??= (async () => {
      const url = requireConnection(this.config, "redisUrl");
      const { connectRedis } = await import("./db/redis.ts");
      return connectRedis(url);
    })();
    return this.#redis;
  }

  /** The queues, for a command. */
  async queues(): Promise<Queues> {
    const redis = await this.redis();
    const { Queues } = await import("./queues/queues.ts"); // its library is slow to load, and few commands need it
    this.#queues ??= new Queues(redis, this.config.queuePrefix, (err) => this.log.warn({ err }, "queue error"));
    return this.#queues;
  }

  /** The locks of this process. */
  session(): Promise<Session> {
    this.#session ??= Session.open(requireConnection(this.config, "databaseUrl"), this.config.mongodbConcurrency);
    return this.#session;
  }

  /** Looks at Tallyman's own indexes, and keeps a report that this process's role may read. */
  async reportIndexUsage(signal: AbortSignal): Promise<StatsReport> {
    const { rows } = await (await this.pool()).query<{ name: string }>("SELECT current_user AS name");
    return this.keeper.report(rows[0]?.name, signal);
  }

  /** The newest such report; undefined where there is none, or this role may not read it. */
  readonly newestIndexReport = async (): Promise<StatsReport | undefined> => newestReport(await this.pool());

  /** Closes what was opened, in reverse. */
  async close(): Promise<void> {
    const settled = async <T>(opened: Promise<T> | undefined, close: (service: T) => unknown) => {
      const service = await opened?.catch(() => undefined);
      if (service !== undefined) await close(service);
    };
    await settled(this.#session, (session) => session.close());
    await this.#queues?.close();
    await settled(this.#redis, (redis) => redis.disconnect());
    await settled(this.#mongo, ({ client }) => client.close());
    await this.#pool?.end();
  }
}
