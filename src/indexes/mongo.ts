/**
 * Indexes of a MongoDB-compatible server. Builds go one at a time through the `createIndexes` command itself: the
 * driver's helper drops options it does not know without a word (a misspelt partial filter makes a full index), and
 * answers with the names asked for rather than with what happened.
 */
import {
  type CollationOptions,
  type Db,
  MongoNetworkError,
  MongoServerError,
  MongoServerSelectionError,
} from "mongodb";
import { UnreachableError } from "../errors.ts";
import { type Engine, type EngineOptions, type Observation, pause, type Verdict } from "./engine.ts";
import type { MongoIndex } from "./manifest.ts";
import { IDENTITY, mongoShape, mongoSpec } from "./mongo-shape.ts";
import type { ActualIndex, DeclaredShape } from "./plan.ts";

const NAMESPACE_NOT_FOUND = 26;
/** 85, 86: the name or the definition is taken. Which one, and by what, only a fresh look tells. */
const CONFLICTS = new Set([85, 86]);
/** A build or drop in progress, a stepdown, a shutdown: the build goes on elsewhere, and the same command joins it. */
const PASSING = new Set([91, 189, 276, 285, 10107, 11600, 11602, 12587, 13435, 13436]);
const PROGRESS_EVERY_MS = 2000;

export interface MongoEngineOptions extends EngineOptions {
  readonly db: Db;
  readonly indexes: Readonly<Record<string, readonly MongoIndex[]>>;
  readonly allowBlocking: boolean;
}

/** @throws UnreachableError when no server answers. */
export async function mongoEngine(options: MongoEngineOptions): Promise<Engine> {
  const { db, indexes, allowBlocking, signal, onProgress } = options;
  const buildInfo = await reach(() => db.command({ buildInfo: 1 }));
  const blocking = "ferretdb" in buildInfo;
  const find = (target: string, name: string) => indexes[target]?.find((index) => index.name === name) as MongoIndex;

  async function build(target: string, name: string): Promise<void> {
    const done = new AbortController();
    const watching = watchBuild(target, name, done.signal);
    try {
      // No maxTimeMS: the server would abort the build at that time.
      await db.command({
        createIndexes: target,
        indexes: [mongoSpec(find(target, name))],
        writeConcern: { w: "majority" },
        comment: "tallyman indexes ensure",
      });
    } catch (error) {
      done.abort();
      const stopped = await watching;
      throw stopped === undefined ? error : new Error(stopped, { cause: error });
    } finally {
      done.abort();
      await watching;
    }
  }

  /** Tells how the build gets on and stops it when asked; answers why it did. */
  async function watchBuild(target: string, name: string, done: AbortSignal): Promise<string | undefined> {
    const started = performance.now();
    const either = AbortSignal.any([done, signal]);
    for (;;) {
      await pause(PROGRESS_EVERY_MS, either);
      if (done.aborted) return undefined;
      const elapsed = performance.now() - started;
      if (signal.aborted || elapsed > options.maxBuildMs) {
        if (blocking) {
          onProgress(`mongodb ${target} ${name}: this server cannot cancel a build; waiting for its end`);
          return undefined;
        }
        // Only this ends a build cleanly; killOp may not.
        await db.command({ dropIndexes: target, index: name }).catch(() => undefined);
        return signal.aborted ? "cancelled" : `cancelled after ${options.maxBuildMs} ms`;
      }
      const message = blocking ? undefined : await buildMessage(db, target);
      onProgress(`mongodb ${target} ${name}: ${message ?? "building"}, ${Math.round(elapsed / 1000)} s`);
    }
  }

  return {
    name: "mongodb",
    targets: new Map(Object.entries(indexes)),
    observe: (target) => reach(() => observe(db, target, indexes[target] ?? [], blocking)),
    async refusal(target) {
      if (!blocking || allowBlocking) return undefined;
      const some = await reach(() => db.collection(target).findOne({}, { projection: { _id: 1 } }));
      if (!some) return undefined;
      return "this server (FerretDB) blocks every write while it builds an index, and the collection is not empty; build it in a quiet hour with blocking builds allowed";
    },
    create: (target, name) => reach(() => build(target, name)),
    // The same command joins a running build of the same definition and returns at its end.
    waitForBuild: (target, name) => reach(() => build(target, name)),
    // A build that fails leaves nothing here: the server removes it.
    dropInvalid: () => Promise.resolve(),
    judge: (error) => Promise.resolve(judge(error)),
  };
}

async function observe(
  db: Db,
  target: string,
  declared: readonly MongoIndex[],
  blocking: boolean,
): Promise<Observation> {
  const [info] = await db.listCollections({ name: target }).toArray();
  const type = info?.type ?? "collection";
  if (type !== "collection") {
    return { unusable: `it is a ${type}`, actual: [], declared: new Map(), rules: {}, busy: false };
  }
  const options = (info as { options?: { collation?: CollationOptions } } | undefined)?.options;
  const specs = info ? await listIndexes(db, target) : [];
  // listIndexes shows a running build like a finished index; only $indexStats tells them apart.
  const building = info && !blocking ? await buildingNames(db, target) : new Set<string>();
  const actual = specs.map((spec): ActualIndex => ({
    name: String(spec["name"]),
    // Explicitly simple under a collection with a collation shows as an absent one: only the declared side inherits.
    shape: mongoShape(spec),
    valid: true,
    building: building.has(String(spec["name"])),
  }));
  const shapes = declared.map((index): [string, DeclaredShape] => [
    index.name,
    { name: index.name, shape: mongoShape(mongoSpec(index), options?.collation) },
  ]);
  return { actual, declared: new Map(shapes), rules: { identity: IDENTITY }, busy: false };
}

async function listIndexes(db: Db, target: string): Promise<Record<string, unknown>[]> {
  try {
    return (await db.collection(target).listIndexes().toArray()) as Record<string, unknown>[];
  } catch (error) {
    if (error instanceof MongoServerError && error.code === NAMESPACE_NOT_FOUND) return [];
    throw error;
  }
}

/** Needs a right the role may lack; without it a running build passes for finished, and the server serves it when it is. */
async function buildingNames(db: Db, target: string): Promise<Set<string>> {
  const stats = await db
    .collection(target)
    .aggregate([{ $indexStats: {} }])
    .toArray()
    .catch(() => []);
  return new Set(stats.filter((stat) => stat["building"] === true).map((stat) => String(stat["name"])));
}

async function buildMessage(db: Db, target: string): Promise<string | undefined> {
  const admin = db.client.db("admin");
  const operations = await admin
    .aggregate([
      { $currentOp: { allUsers: true } },
      { $match: { "command.createIndexes": target, msg: /Index Build/ } },
    ])
    .toArray()
    .catch(() => []);
  const message: unknown = operations[0]?.["msg"];
  return typeof message === "string" ? message : undefined;
}

function judge(error: unknown): Verdict {
  if (error instanceof MongoNetworkError) return "retry";
  if (!(error instanceof MongoServerError)) return "fail";
  if (CONFLICTS.has(Number(error.code))) return "again";
  return PASSING.has(Number(error.code)) ? "retry" : "fail";
}

async function reach<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof MongoServerSelectionError)) throw error;
    throw new UnreachableError(`MongoDB does not answer: ${error.message}`, { cause: error });
  }
}
