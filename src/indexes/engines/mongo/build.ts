/** Builds one index on a MongoDB-compatible server and watches the build. */
import type { Db } from "mongodb";
import { messageOf, pause, type EngineOptions } from "../engine.ts";
import { confirmed, MAJORITY } from "./write-concern.ts";

const PROGRESS_EVERY_MS = 2000;

export interface BuildOptions extends EngineOptions {
  readonly db: Db;
  /** the server blocks writers while it builds, and cannot cancel a build (FerretDB) */
  readonly blocking: boolean;
}

/**
 * Builds one index with the `createIndexes` command itself. The driver's helper silently drops options it does not know
 * (a misspelt partial filter makes a full index) and returns the requested names instead of the server's reply. The
 * same command joins a running build of the same definition.
 */
export async function build(
  { db, blocking, ...options }: BuildOptions,
  target: string,
  spec: Record<string, unknown>,
): Promise<void> {
  const done = new AbortController();
  const name = String(spec["name"]);
  const watching = watchBuild({ db, blocking, ...options }, target, name, done.signal);
  try {
    // No maxTimeMS: the server would abort the build after that time. No commitQuorum: the server's default stands.
    const command = {
      createIndexes: target,
      indexes: [spec],
      writeConcern: MAJORITY,
      comment: "tallyman indexes ensure",
    };
    await confirmed(`${name} is built`, () => db.command(command));
  } catch (error) {
    done.abort();
    const stopped = await watching;
    throw stopped === undefined ? error : new Error(stopped, { cause: error });
  } finally {
    done.abort();
    await watching;
  }
}

/** Reports the progress of the build and cancels it at the limit or on the signal. @returns why it was cancelled */
async function watchBuild(
  { db, blocking, signal, maxBuildMs, onProgress }: BuildOptions,
  target: string,
  name: string,
  done: AbortSignal,
): Promise<string | undefined> {
  const tell = (text: string) => onProgress(`mongodb ${target} ${name}: ${text}`);
  const every = Math.min(PROGRESS_EVERY_MS, maxBuildMs);
  const started = performance.now();
  const either = AbortSignal.any([done, signal]);
  for (let isStopping = false; ;) {
    await pause(every, isStopping ? done : either);
    if (done.aborted) return undefined;
    const elapsed = performance.now() - started;
    isStopping ||= signal.aborted || elapsed > maxBuildMs;
    if (isStopping && blocking) {
      tell("this server cannot cancel a build; waiting until it ends");
      return undefined;
    }
    const waits = blocking ? undefined : await awaitedMembers(db, target, name);
    if (isStopping) {
      const refusal = await cancel(db, target, name);
      const reason = signal.aborted ? "cancelled" : `cancelled after ${maxBuildMs} ms`;
      if (refusal === undefined) return waits === undefined ? reason : `${reason}, while ${waits}`;
      tell(`not cancelled yet: ${refusal}`);
      continue;
    }
    const message = waits ?? (blocking ? undefined : await buildMessage(db, target));
    tell(`${message ?? "building"}, ${Math.round(elapsed / 1000)} s`);
  }
}

/** dropIndexes ends a build cleanly, killOp may not. @returns why the server did not do it */
async function cancel(db: Db, target: string, name: string): Promise<string | undefined> {
  try {
    // The primary is enough: the command that waits for the build ends with it.
    await db.command({ dropIndexes: target, index: name, writeConcern: { w: 1 } });
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

/**
 * Which members have built their part, as soon as one has. The primary commits the index when its commit quorum is there,
 * which by default is every voting member with data; one that is down holds it up. The server keeps that in
 * `config.system.indexBuilds`; undefined where the role may not read it, and on a mongos, which has none.
 */
async function awaitedMembers(db: Db, target: string, name: string): Promise<string | undefined> {
  try {
    const [info] = await db.listCollections({ name: target }).toArray();
    const collectionUUID = (info as { info?: { uuid?: unknown } } | undefined)?.info?.uuid;
    const builds = db.client.db("config").collection("system.indexBuilds");
    const entry = await builds.findOne({ collectionUUID, indexNames: name });
    const ready = (entry?.["commitReadyMembers"] ?? []) as readonly string[];
    if (ready.length === 0) return undefined;
    return `waiting for the commit quorum ${JSON.stringify(entry?.["commitQuorum"])}; ready: ${ready.join(", ")}`;
  } catch {
    return undefined;
  }
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
