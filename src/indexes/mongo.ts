/** Indexes of a MongoDB-compatible server. */
import { BSON, MongoNetworkError, MongoServerError, MongoServerSelectionError, type Db, type Document } from "mongodb";
import { UnreachableError, UsageError } from "../errors.ts";
import type { Engine, EngineOptions, Verdict } from "./engine.ts";
import type { MongoIndex } from "./manifest.ts";
import { build, type BuildOptions } from "./mongo-build.ts";
import { listIndexes, observe } from "./mongo-catalog.ts";
import { findDuplicates } from "./mongo-duplicates.ts";
import { MongoLedger } from "./mongo-ledger.ts";
import { IDENTITY, mongoShape, mongoSpec } from "./mongo-shape.ts";
import { describeDifference, fingerprint, type Shape } from "./plan.ts";

/** 85, 86: the name or the definition is taken. Which one, and by what, only a fresh look tells. */
const CONFLICTS = new Set([85, 86]);
/** A build or drop in progress, a stepdown, a shutdown: the build goes on elsewhere, and the same command joins it. */
const PASSING = new Set([91, 189, 276, 285, 10107, 11600, 11602, 12587, 13435, 13436]);
const INDEX_NOT_FOUND = 27;
const NAMESPACE_EXISTS = 48;
/** What `collMod` changes in place. */
const ATTRIBUTES = new Set(["expireAfterSeconds", "hidden"]);

export interface MongoEngineOptions extends EngineOptions {
  readonly db: Db;
  readonly indexes: Readonly<Record<string, readonly MongoIndex[]>>;
  readonly allowBlocking: boolean;
}

/** @throws UnreachableError when no server answers. */
export async function mongoEngine(options: MongoEngineOptions): Promise<Engine> {
  const { db, indexes, allowBlocking } = options;
  const buildInfo = await reach(() => db.command({ buildInfo: 1 }));
  const blocking = "ferretdb" in buildInfo;
  const builds: BuildOptions = { ...options, blocking };

  function find(target: string, name: string): MongoIndex {
    const index = indexes[target]?.find((one) => one.name === name);
    if (!index) throw new Error(`${name} is not declared on ${target}`);
    return index;
  }

  const create = (target: string, spec: Record<string, unknown>) => reach(() => build(builds, target, spec));

  async function drop(target: string, name: string): Promise<void> {
    try {
      await db.command({ dropIndexes: target, index: name });
    } catch (error) {
      if (codeOf(error) !== INDEX_NOT_FOUND) throw error;
    }
  }

  async function setAttributes(target: string, name: string, spec: Document): Promise<void> {
    const ttl: unknown = spec["expireAfterSeconds"];
    const index = {
      name,
      hidden: spec["hidden"] === true,
      ...(ttl === undefined ? {} : { expireAfterSeconds: ttl }),
    };
    await db.command({ collMod: target, index });
  }

  return {
    name: "mongodb",
    targets: new Map(Object.entries(indexes)),
    ledger: new MongoLedger(db),
    observe: (target) => reach(() => observe(db, target, indexes[target] ?? [], blocking)),

    async refusal(target) {
      if (!blocking || allowBlocking) return undefined;
      const some = await reach(() => db.collection(target).findOne({}, { projection: { _id: 1 } }));
      if (!some) return undefined;
      return "this server (FerretDB) blocks every write while it builds an index, and the collection is not empty; build it in a quiet hour with blocking builds allowed";
    },

    duplicates: (target, name) => findDuplicates(db.collection(target), find(target, name)),
    definition: (target, name) => commandText(target, mongoSpec(find(target, name))),
    create: (target, name) => create(target, mongoSpec(find(target, name))),
    // The same command joins a running build of the same definition and returns at its end.
    waitForBuild: (target, name) => create(target, mongoSpec(find(target, name))),
    // A build that fails leaves nothing here: the server removes it.
    dropInvalid: () => Promise.resolve(),
    drop,

    async replace(target, name, found) {
      const spec = mongoSpec(find(target, name));
      const wanted = mongoShape(spec);
      const parts = differingParts(wanted, found.shape);
      if (
        parts.every((part) => ATTRIBUTES.has(part)) &&
        !(parts.includes("expireAfterSeconds") && !wanted["expireAfterSeconds"])
      ) {
        await setAttributes(target, found.name, spec);
        return;
      }
      if (found.name !== name || !parts.some((part) => (IDENTITY as readonly string[]).includes(part))) {
        throw new UsageError(
          `the server cannot have both definitions of ${name} at once (${describeDifference(wanted, found.shape)}). ` +
            `In a window without its readers, drop ${found.name} by hand and run ensure again.`,
        );
      }
      // No index can be renamed here: the new one keeps a name of its own, and is found by its definition.
      await create(target, { ...spec, name: versionedName(name, wanted) });
      await drop(target, name);
    },

    finishReplace: () => Promise.resolve(false), // what is left of one still has the name, and is replaced again

    async restore({ target, name, previous = "{}" }) {
      const spec = BSON.EJSON.parse(previous) as Document;
      const specs = await listIndexes(db, target);
      const present = specs.find((one) => one["name"] === spec["name"]);
      const wanted = mongoShape(spec);
      if (present && differingParts(wanted, mongoShape(present)).every((part) => ATTRIBUTES.has(part))) {
        await setAttributes(target, String(present["name"]), spec);
        return;
      }
      await create(target, spec);
      const versions = specs.map((one) => String(one["name"])).filter((one) => isVersionOf(one, name));
      for (const version of versions) await drop(target, version);
    },

    claim: () => Promise.resolve({}),

    async createTarget(target) {
      await reach(() => db.createCollection(target)).catch((error: unknown) => {
        if (codeOf(error) !== NAMESPACE_EXISTS) throw error;
      });
    },

    async dropTarget(target) {
      const some = await db.collection(target).findOne({}, { projection: { _id: 1 } });
      if (some) return "it is not empty";
      const others = (await listIndexes(db, target)).filter((spec) => spec["name"] !== "_id_");
      if (others.length > 0) return `it has the index ${String(others[0]?.["name"])}`;
      await db.dropCollection(target);
      return undefined;
    },

    judge: (error) => Promise.resolve(judge(error)),
  };
}

function differingParts(a: Shape, b: Shape): string[] {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((part) => (a[part] ?? "") !== (b[part] ?? ""));
}

function versionedName(name: string, shape: Shape): string {
  return `${name}__${fingerprint(shape).slice(0, 6)}`;
}

function isVersionOf(version: string, name: string): boolean {
  return version.startsWith(`${name}__`) && /^[0-9a-f]{6}$/.test(version.slice(name.length + 2));
}

/** The command as a person would type it into a shell. */
function commandText(target: string, { key, ...spec }: Record<string, unknown>): string {
  const index = { key: Object.fromEntries(key as Map<string, unknown>), ...spec };
  return `db.runCommand({ createIndexes: ${JSON.stringify(target)}, indexes: [${BSON.EJSON.stringify(index)}] })`;
}

function judge(error: unknown): Verdict {
  if (error instanceof MongoNetworkError) return "retry";
  const code = codeOf(error);
  if (code === undefined) return "fail";
  if (CONFLICTS.has(code)) return "again";
  return PASSING.has(code) ? "retry" : "fail";
}

function codeOf(error: unknown): number | undefined {
  return error instanceof MongoServerError ? Number(error.code) : undefined;
}

async function reach<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof MongoServerSelectionError)) throw error;
    throw new UnreachableError(`MongoDB does not answer: ${error.message}`, { cause: error });
  }
}
