/** Builds one index on a MongoDB-compatible server and watches the build. */
import type { Db } from "mongodb";
import { pause, type EngineOptions } from "../engine.ts";

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
  const watching = watchBuild({ db, blocking, ...options }, target, String(spec["name"]), done.signal);
  try {
    // No maxTimeMS: the server would abort the build after that time.
    await db.command({
      createIndexes: target,
      indexes: [spec],
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

/** Reports the progress of the build and cancels it at the limit or on the signal. @returns why it was cancelled */
async function watchBuild(
  { db, blocking, signal, maxBuildMs, onProgress }: BuildOptions,
  target: string,
  name: string,
  done: AbortSignal,
): Promise<string | undefined> {
  const started = performance.now();
  const either = AbortSignal.any([done, signal]);
  for (;;) {
    await pause(PROGRESS_EVERY_MS, either);
    if (done.aborted) return undefined;
    const elapsed = performance.now() - started;
    if (signal.aborted || elapsed > maxBuildMs) {
      if (blocking) {
        onProgress(`mongodb ${target} ${name}: this server cannot cancel a build; waiting until it ends`);
        return undefined;
      }
      // dropIndexes ends a build cleanly; killOp may not.
      await db.command({ dropIndexes: target, index: name }).catch(() => undefined);
      return signal.aborted ? "cancelled" : `cancelled after ${maxBuildMs} ms`;
    }
    const message = blocking ? undefined : await buildMessage(db, target);
    onProgress(`mongodb ${target} ${name}: ${message ?? "building"}, ${Math.round(elapsed / 1000)} s`);
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
