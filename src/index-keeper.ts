import type { MongoClient, Db } from "mongodb";
import { requireConnection, type Config } from "./config.ts";
import { UsageError } from "./errors.ts";
import {
  ensureIndexes,
  type EnsureOptions,
  type EnsureReport,
  type IndexTargets,
  loadManifest,
  type Manifest,
  readStats,
  type StatsReport,
  verifyIndexes,
} from "./indexes/index.ts";

/** The name of the manifest of Tallyman's own indexes. */
export const OWN_MANIFEST = "usage";

/** The index keeper with the settings of this process. Each method opens connections of its own. */
export class IndexKeeper {
  readonly #config: Config;
  readonly #schema: () => Promise<string>;

  /** @param schema of the cache table, for Tallyman's own indexes */
  constructor(config: Config, schema: () => Promise<string>) {
    this.#config = config;
    this.#schema = schema;
  }

  /**
   * A manifest that comes with Tallyman, by name, or from a file.
   *
   * @param schema of the cache table, for Tallyman's own indexes; undefined = the database is asked
   * @throws UsageError
   */
  async manifest(nameOrFile: string, schema?: string): Promise<Manifest> {
    const { eventsCollection, eventsFields } = this.#config;
    const { MANIFESTS } = await import("../manifests/index.ts");
    const shipped = Object.hasOwn(MANIFESTS, nameOrFile) ? MANIFESTS[nameOrFile] : undefined;
    if (shipped) {
      const names = { collection: eventsCollection, fields: eventsFields };
      return shipped(nameOrFile === OWN_MANIFEST ? { ...names, schema: schema ?? (await this.#schema()) } : names);
    }
    // Without a slash or a dot it is a name, not a file.
    if (/^[^./\\]+$/.test(nameOrFile)) {
      throw new UsageError(
        `there is no manifest "${nameOrFile}": give ${Object.keys(MANIFESTS).join(", ")}, or a .yaml, .yml or .json file`,
      );
    }
    return loadManifest(nameOrFile);
  }

  /** Opens the databases of the manifest, under the roles for index work where those are set. */
  async with<T>(manifest: Manifest, work: (targets: IndexTargets) => Promise<T>): Promise<T> {
    const config = this.#config;
    const { client, db } = await this.#openMongo(manifest.mongo !== undefined);
    try {
      const databaseUrl = config.databaseAdminUrl ?? requireConnection(config, "databaseUrl");
      return await work({ manifest, mongo: db, databaseUrl });
    } finally {
      await client.close();
    }
  }

  /**
   * @param isAsked false if the manifest has no MongoDB indexes: then MONGODB_URI need not be set, nor the server be up
   */
  async #openMongo(isAsked: boolean): Promise<{ client: MongoClient; db: Db }> {
    const { connectMongo, unconnectedMongo } = await import("./db/mongo/client.ts"); // the driver is slow to load
    if (!isAsked) return unconnectedMongo();
    return connectMongo(this.#config.mongodbAdminUri ?? requireConnection(this.#config, "mongodbUri"));
  }

  /** Ensures Tallyman's own indexes. */
  async ensure(options: Omit<EnsureOptions, keyof IndexTargets>): Promise<EnsureReport> {
    return this.with(await this.manifest(OWN_MANIFEST), (targets) => ensureIndexes({ ...targets, ...options }));
  }

  /**
   * Verifies the contracts of Tallyman's own indexes, measures the indexes, and stores the report.
   *
   * @param reader the role that may read the report
   */
  async report(reader: string | undefined, signal: AbortSignal): Promise<StatsReport> {
    return this.with(await this.manifest(OWN_MANIFEST), async (targets) => {
      const { entries } = await verifyIndexes({ ...targets, signal });
      return readStats({ ...targets, signal, contracts: entries, ...(reader ? { publishFor: reader } : {}) });
    });
  }
}
