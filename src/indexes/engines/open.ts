/** Opens the PostgreSQL session and an engine for each database that the manifest declares indexes for. */
import type { Db } from "mongodb";
import type { Engine, Proof } from "./engine.ts";
import { lintManifest } from "./lint.ts";
import { DEFAULTS, type Manifest } from "../manifest/manifest.ts";
import { mongoEngine } from "./mongo/engine.ts";
import { requireMethods } from "./postgres/methods.ts";
import { IndexSession } from "./postgres/session.ts";
import { postgresEngine } from "./postgres/engine.ts";
import { expandRolling, windowsOf, type Window } from "../manifest/rolling.ts";

/** What every verb of the index keeper works on. */
export interface IndexTargets {
  /** reduced to the selected engine and phase */
  readonly manifest: Manifest;
  readonly mongo: Db;
  /** A direct connection, not through a transaction pooler. The keeper's lock for both engines is in this database. */
  readonly databaseUrl: string;
}

export interface OpenOptions extends IndexTargets {
  /** Lets a server that blocks writers during a build (FerretDB) build on a collection that is not empty. */
  readonly allowBlocking?: boolean;
  /** How long to wait for the lock. */
  readonly waitMs?: number;
  /** Asked before a replaced index or an older window is dropped; `now` selects the current windows. */
  readonly prove?: (target: string, name: string, now: Date) => Promise<string | undefined>;
  readonly onProgress?: (line: string) => void;
  /** Stops before the next index, and cancels a running build. */
  readonly signal?: AbortSignal;
}

export interface Opened {
  readonly engines: readonly Engine[];
  readonly session: IndexSession;
  /** the current windows, by their names in the database */
  readonly windows: ReadonlyMap<string, Window>;
  readonly prove?: Proof;
  readonly signal: AbortSignal;
}

/**
 * Works under the keeper's lock ("change"), or without it ("look").
 *
 * @throws UsageError (manifest, server), LockedError after `waitMs`, UnreachableError
 */
export async function withEngines<T>(
  options: OpenOptions,
  purpose: "change" | "look",
  work: (opened: Opened) => Promise<T>,
): Promise<T> {
  const { manifest, mongo: db, databaseUrl, allowBlocking = false } = options;
  lintManifest(manifest);
  const signal = options.signal ?? new AbortController().signal;
  const { lockWaitMs, maxBuildMs, maxWaitMs } = { ...DEFAULTS, ...manifest.defaults };
  const common = { signal, maxBuildMs, maxWaitMs, onProgress: options.onProgress ?? (() => undefined) };
  const session = new IndexSession({ ...common, databaseUrl, lockWaitMs: options.waitMs ?? lockWaitMs });
  try {
    if (purpose === "change") await session.open();
    else await session.connect();
    const now = await session.now();
    const { prove: proveAt } = options;
    const proof = proveAt ? { prove: ((target, name) => proveAt(target, name, now)) satisfies Proof } : {};
    const { mongo, postgres, ignore: ignored } = expandRolling(manifest, now);
    const engines: Engine[] = [];
    if (mongo)
      engines.push(
        await mongoEngine({ ...common, ...proof, ignored: ignored?.mongo, db, indexes: mongo, allowBlocking }),
      );
    if (postgres) {
      await requireMethods(session, postgres);
      engines.push(postgresEngine({ ...common, ...proof, ignored: ignored?.postgres, session, indexes: postgres }));
    }
    return await work({ engines, session, signal, windows: windowsOf(manifest, now), ...proof });
  } finally {
    await session.close();
  }
}
