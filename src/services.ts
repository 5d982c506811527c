import { hostname } from "node:os";
import type { Db, MongoClient } from "mongodb";
import { computeSettings, redisAddress, requireConnection, type ComputeSettings, type Config } from "./config.ts";
import type { ArrivalReader } from "./db/mongo/arrivals.ts";
import type { EventReader } from "./db/mongo/events.ts";
import type { InvisibleReader } from "./db/mongo/invisible.ts";
import type { TotalsReader } from "./db/mongo/totals.ts";
import { Audits } from "./db/postgres/cache/audits.ts";
import { agreeOnSettings } from "./db/postgres/settings.ts";
import { requireMigrated } from "./db/postgres/migrate.ts";
import { createPool, pingPostgres } from "./db/postgres/pool.ts";
import { ownSchema } from "./db/postgres/prepare-session.ts";
import { Chunks } from "./db/postgres/runs/chunks.ts";
import { DueWork } from "./db/postgres/runs/due.ts";
import { Runs } from "./db/postgres/runs/runs.ts";
import { Session } from "./db/postgres/session.ts";
import { IndexKeeper, OWN_MANIFEST } from "./index-keeper.ts";
import { newestReport, requireIndexes, type ServingIndexes, type StatsReport } from "./indexes/index.ts";
import type { Logger } from "./log.ts";
import type { Tenants } from "./rebuild/tenants.ts";
import { recently } from "./recently.ts";
import { repeated } from "./repeated.ts";
import { Resources } from "./resources.ts";
import { dayOf, type Day } from "./usage/day.ts";

/** What others may change is read again after so long. */
const LOOKED_AT_MS = 5_000;
/** A server that answered is not asked again for so long. */
const ANSWERED_MS = 1_000;

interface Mongo {
  readonly client: MongoClient;
  readonly db: Db;
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
 * The servers and what stands on them, each opened at its first use and kept until close(). A command opens only what it
 * needs; other servers may be down.
 */
export class Services {
  readonly config: Config;
  readonly log: Logger;
  readonly settings: ComputeSettings;
  readonly keeper: IndexKeeper;
  readonly #resources = new Resources();

  constructor(config: Config, log: Logger) {
    this.config = config;
    this.log = log;
    this.settings = computeSettings(config);
    this.keeper = new IndexKeeper(config, async () => ownSchema(await this.pool()));
  }

  /** Closes what was opened, in reverse. */
  readonly close = (): Promise<void> => this.#resources.close();

  /** Today in the reporting time zone. */
  readonly today = (): Day => dayOf(Date.now(), this.config.timeZone);

  /** PostgreSQL, whether or not it has the tables. Two connections a chunk: one reads the clock while the other writes. */
  readonly rawPool = this.#resources.lazily(
    async () => {
      const size = 2 * (this.config.workerConcurrency + 1) + 2;
      const pool = createPool(requireConnection(this.config, "databaseUrl"), size, (err) =>
        this.log.warn({ err }, "an idle connection to PostgreSQL was lost"),
      );
      try {
        await pingPostgres(pool);
        return pool;
      } catch (error) {
        await pool.end();
        throw error;
      }
    },
    (pool) => pool.end(),
  );

  /** PostgreSQL with the tables of this version. */
  readonly pool = this.#resources.lazily(async () => {
    const pool = await this.rawPool();
    await requireMigrated(pool);
    return pool;
  });

  /** PostgreSQL, after a check that its rows were computed with this process's settings; the first process ever sets them. */
  readonly agreedPool = this.#resources.lazily(async () => {
    const pool = await this.pool();
    await agreeOnSettings(pool, this.settings);
    return pool;
  });

  /** MongoDB with the collection of events. */
  readonly #mongo = this.#resources.lazily(
    async (): Promise<Mongo> => {
      const uri = requireConnection(this.config, "mongodbUri");
      const { connectMongo, requirePrimary } = await import("./db/mongo/client.ts"); // the driver is slow to load
      const mongo = await connectMongo(uri);
      try {
        await requirePrimary(mongo.db);
        return mongo;
      } catch (error) {
        await mongo.client.close();
        throw error;
      }
    },
    ({ client }) => client.close(),
  );

  /** The events. @throws UsageError if a required index is missing, or if it is unknown for how long events are kept */
  readonly source = this.#resources.lazily(async (): Promise<Source> => {
    const { eventsCollection, eventsFields, timeZone } = this.config;
    const pool = await this.agreedPool();
    const mongo = await this.#mongo();
    await this.requireIndexes();
    await this.retention(); // or an error that says what must be set
    const { TENANT_DATE_INDEX } = await import("../manifests/usage.ts");
    const { EventCollection } = await import("./db/mongo/event-collection.ts");
    const collection = new EventCollection(mongo.db.collection(eventsCollection), eventsFields, async (when) => {
      const serving = await this.requireIndexes(when);
      return serving.get(eventsCollection)?.get(TENANT_DATE_INDEX);
    });
    const { EventReader } = await import("./db/mongo/events.ts");
    const { TenantReader } = await import("./db/mongo/tenants.ts");
    const { ArrivalReader } = await import("./db/mongo/arrivals.ts");
    const { TotalsReader } = await import("./db/mongo/totals.ts");
    const { InvisibleReader } = await import("./db/mongo/invisible.ts");
    const { Tenants } = await import("./rebuild/tenants.ts");
    return {
      ...mongo,
      events: new EventReader(collection),
      tenants: new Tenants(new TenantReader(collection, timeZone), pool, this.today),
      arrivals: new ArrivalReader(collection, timeZone),
      totals: new TotalsReader(collection),
      invisible: new InvisibleReader(collection),
    };
  });

  /** Redis, for a command: an error at once where it does not answer. */
  readonly redis = this.#resources.lazily(
    async () => {
      const address = redisAddress(this.config);
      const { connectRedis } = await import("./db/redis/connect.ts");
      return connectRedis(address);
    },
    (redis) => redis.disconnect(),
  );

  /** The queues, for a command. */
  readonly queues = this.#resources.lazily(
    async () => {
      const redis = await this.redis();
      const { Queues } = await import("./queues/queues.ts"); // its library is slow to load, and few commands need it
      const logError = repeated(this.log);
      const { explainRedisError } = await import("./db/redis/connect.ts");
      const explain = (error: unknown) => explainRedisError(redisAddress(this.config), error);
      const onError = (error: Error) => logError("warn", explain(error), "queue error");
      return new Queues(redis, this.config.queuePrefix, onError, explain);
    },
    (queues) => queues.close(),
  );

  /** The locks of this process. */
  readonly session = this.#resources.lazily(
    async () => Session.open(requireConnection(this.config, "databaseUrl"), this.config.mongodbConcurrency),
    (session) => session.close(),
  );

  readonly runs = async (): Promise<Runs> => new Runs(await this.agreedPool(), this.settings.hash);

  readonly due = async (): Promise<DueWork> => new DueWork(await this.agreedPool(), this.settings.hash);

  readonly chunks = async (): Promise<Chunks> => {
    const [pool, { id }] = await Promise.all([this.agreedPool(), this.session()]);
    return new Chunks(pool, this.settings.hash, `${hostname()}:${process.pid}`, id);
  };

  readonly audits = async (): Promise<Audits> => new Audits(await this.pool());

  /** Asks MongoDB for a sign of life. @throws if it gives none within some seconds, or is not the primary */
  readonly sourceAnswers = recently(ANSWERED_MS, async (): Promise<void> => {
    const { db } = await this.#mongo();
    const { requirePrimary } = await import("./db/mongo/client.ts");
    await requirePrimary(db);
  });

  /** Checks the indexes that a rebuild needs; a DBA may drop one at any time. */
  readonly requireIndexes = recently(LOOKED_AT_MS, async (): Promise<ServingIndexes> => {
    const [{ db }, pool, manifest] = await Promise.all([
      this.#mongo(),
      this.pool(),
      this.keeper.manifest(OWN_MANIFEST),
    ]);
    return requireIndexes(manifest, db, pool);
  });

  /** For how long raw events are kept: a DBA may set a TTL at any time. */
  readonly retention = recently(LOOKED_AT_MS, async () => {
    const { db } = await this.#mongo();
    const { eventsCollection, eventsFields, eventsRetentionDays } = this.config;
    const { readRetention } = await import("./db/mongo/retention.ts");
    return readRetention(db.collection(eventsCollection), eventsFields, eventsRetentionDays);
  });

  /** Reports on Tallyman's own indexes, and stores the report where this process's role may read it. */
  async reportIndexUsage(signal: AbortSignal): Promise<StatsReport> {
    const { rows } = await (await this.pool()).query<{ name: string }>("SELECT current_user AS name");
    return this.keeper.report(rows[0]?.name, signal);
  }

  /** The newest stored report on indexes; undefined if there is none, or this role may not read it. */
  readonly newestIndexReport = async (): Promise<StatsReport | undefined> => newestReport(await this.pool());
}
