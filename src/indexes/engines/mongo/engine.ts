/** The engine for MongoDB-compatible servers. */
import { MongoNetworkError, MongoServerSelectionError, type CollationOptions, type Db } from "mongodb";
import { UnreachableError } from "../../../errors.ts";
import { isOutOfTime, serverCode } from "../../../mongo/errors.ts";
import type { MongoIndex } from "../../manifest/manifest.ts";
import { pause, type Engine, type EngineOptions, type Recovery } from "../engine.ts";
import { build, type BuildOptions } from "./build.ts";
import { isPrimary, listIndexes, observe, type MongoObservation } from "./catalog.ts";
import { mongoDiscovery } from "./discovery.ts";
import { findDuplicates } from "./duplicates.ts";
import { mongoFigures } from "./figures.ts";
import { MongoLedger } from "./ledger.ts";
import { mongoMaintenance } from "./maintenance.ts";
import { mongoForm, mongoSpec } from "./normal-form.ts";
import { isAttributeChange, mongoReplacement } from "./replacement.ts";
import { readServer } from "./server.ts";
import { shellText } from "./shell.ts";
import { confirmed, MAJORITY } from "./write-concern.ts";

/** 85, 86: another index has the name or the definition. A fresh look shows which one. */
const CONFLICTS = new Set([85, 86]);
/**
 * A build or drop in progress, a stepdown, a shutdown; of a mongos also that it does not reach a shard (HostUnreachable,
 * HostNotFound, NetworkTimeout) or that another DDL operation runs (ConflictingOperationInProgress). The build may go on,
 * and the same command joins it.
 */
const PASSING = new Set([6, 7, 89, 91, 117, 189, 276, 285, 10107, 11600, 11602, 12587, 13435, 13436]);
const INDEX_NOT_FOUND = 27;
const NAMESPACE_EXISTS = 48;
const WAIT_POLL_MS = 500;

export interface MongoEngineOptions extends EngineOptions {
  readonly db: Db;
  readonly indexes: Readonly<Record<string, readonly MongoIndex[]>>;
  readonly allowBlocking: boolean;
}

/** @throws UnreachableError when no server answers. */
export async function mongoEngine(options: MongoEngineOptions): Promise<Engine> {
  const { db, indexes, allowBlocking, signal } = options;
  const server = await reach(() => readServer(db));
  const { blocking } = server;
  const builds: BuildOptions = { ...options, blocking };

  function find(target: string, name: string): MongoIndex {
    const index = indexes[target]?.find((one) => one.name === name);
    if (!index) throw new Error(`${name} is not declared on ${target}`);
    return index;
  }

  /** Of the collections, from the last look at each. */
  const collations = new Map<string, CollationOptions | undefined>();

  async function look(target: string): Promise<MongoObservation> {
    const view = await reach(() => observe(db, target, indexes[target] ?? [], server));
    collations.set(target, view.collation);
    return view;
  }

  const isDeclared = (target: string, name: string) => indexes[target]?.some((one) => one.name === name) === true;
  const specOf = (target: string, name: string) => mongoSpec(find(target, name), collations.get(target));
  const formOf = (target: string, name: string) => mongoForm(specOf(target, name), collations.get(target));

  async function create(target: string, spec: Record<string, unknown>): Promise<void> {
    try {
      await reach(() => build(builds, target, spec));
    } catch (error) {
      if (!CONFLICTS.has(serverCode(error) ?? NaN)) throw error;
      throw new ConflictError(target, String(spec["name"]), error as Error);
    }
  }

  async function drop(target: string, name: string): Promise<void> {
    try {
      await confirmed(`${name} is dropped`, () =>
        db.command({ dropIndexes: target, index: name, writeConcern: MAJORITY }),
      );
    } catch (error) {
      if (serverCode(error) !== INDEX_NOT_FOUND) throw error;
    }
  }

  async function blocked(target: string): Promise<string | undefined> {
    if (!blocking || allowBlocking) return undefined;
    const some = await reach(() => db.collection(target).findOne({}, { projection: { _id: 1 } }));
    if (!some) return undefined;
    return "this server (FerretDB) blocks every write while it builds an index, and the collection is not empty; run it in a quiet hour and allow blocking builds";
  }

  return {
    name: "mongodb",
    targets: new Map(Object.entries(indexes)),
    ignored: new Set(options.ignored),
    ledger: new MongoLedger(db),
    replacement: mongoReplacement({ db, server, isDeclared, specOf, formOf, look, create, drop, blocked }),
    statistics: {
      database: () => Promise.resolve(db.databaseName),
      figures: (target, at) => mongoFigures(db, target, Date.parse(at)),
      rebuilds: () => Promise.resolve(new Map()),
    },
    maintenance: mongoMaintenance(db),
    discovery: mongoDiscovery(db),
    observe: look,

    refusal: async (target, name, found) =>
      found && isAttributeChange(formOf(target, name), found.form, server) ? undefined : blocked(target),

    duplicates: (target, name) => findDuplicates(db.collection(target), find(target, name), collations.get(target)),
    definition: (target, name) => commandText(target, specOf(target, name)),
    // The server itself removes a build that failed.
    removal: () => undefined,
    create: (target, name) => create(target, specOf(target, name)),
    // Polls instead of issuing the same createIndexes: under another name the server would refuse it at once.
    async waitForBuild(target, name) {
      const started = performance.now();
      while (!signal.aborted && (await look(target)).actual.some(({ building }) => building)) {
        const waited = performance.now() - started;
        if (waited > options.maxBuildMs) throw new Error(`another session still builds an index of ${target}`);
        if (waited < WAIT_POLL_MS) options.onProgress(`mongodb ${target} ${name}: waiting for another session's build`);
        await pause(WAIT_POLL_MS, signal);
      }
    },
    dropInvalid: () => Promise.resolve(),
    drop,

    claim: () => Promise.resolve({}),

    async createTarget(target) {
      const made = () => db.command({ create: target, writeConcern: MAJORITY });
      await reach(() => confirmed(`${target} is created`, made)).catch((error: unknown) => {
        if (serverCode(error) !== NAMESPACE_EXISTS) throw error;
      });
    },

    async dropTarget(target) {
      const some = await db.collection(target).findOne({}, { projection: { _id: 1 } });
      if (some) return "it is not empty";
      const others = (await listIndexes(db, target)).filter((spec) => !isPrimary(spec));
      if (others.length > 0) return `it has the index ${String(others[0]?.["name"])}`;
      await confirmed(`${target} is dropped`, () => db.command({ drop: target, writeConcern: MAJORITY }));
      return undefined;
    },

    recovery: (error) => Promise.resolve(recoveryOf(error)),
  };
}

/** The command for mongosh. */
function commandText(target: string, spec: Record<string, unknown>): string {
  return `db.runCommand(${shellText({ createIndexes: target, indexes: [spec] })})`;
}

/** The server takes the declared index for one that it has, though their normal forms differ. */
class ConflictError extends Error {
  override readonly name = "ConflictError";

  constructor(target: string, index: string, cause: Error) {
    super(
      `the server does not build ${index} beside an index that it takes for the same: ${cause.message}. Compare it with ` +
        `db.getCollection(${JSON.stringify(target)}).getIndexes(): drop the index in its way when nothing reads through it, or ` +
        "change the manifest, then run ensure again. Until its featureCompatibilityVersion is 5.0, a server holds one index for " +
        "the same keys and collation, whatever their other options",
      { cause },
    );
  }
}

function recoveryOf(error: unknown): Recovery {
  if (error instanceof MongoNetworkError) return "retry";
  if (error instanceof ConflictError) return "again";
  const code = serverCode(error);
  if (code === undefined) return "fail";
  if (CONFLICTS.has(code)) return "again";
  return PASSING.has(code) || isOutOfTime(error) ? "retry" : "fail";
}

async function reach<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof MongoServerSelectionError)) throw error;
    throw new UnreachableError(`MongoDB does not answer: ${error.message}`, { cause: error });
  }
}
