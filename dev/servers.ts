/**
 * The three servers that the demo, the benchmark and the integration tests need, each from the first source that works:
 * a setting that names one (MONGODB_URI, REDIS_URL, DATABASE_URL), a container, a program of this machine, an install
 * into a cache outside the repository (TALLYMAN_CACHE). Linux and macOS.
 */
import { randomBytes } from "node:crypto";
import pg from "pg";
import { UnreachableError } from "../src/errors.ts";
import { engineProbe } from "./servers/docker.ts";
import { Guard } from "./servers/guard.ts";
import { mongodb } from "./servers/mongo.ts";
import { stripMongoDatabase } from "./servers/mongo-uri.ts";
import { postgres } from "./servers/postgres.ts";
import { redis } from "./servers/redis.ts";
import {
  firstThatWorks,
  fromSetting,
  NoSourceError,
  type Run,
  type Running,
  type ServerKind,
  type ServerName,
  type Started,
} from "./servers/source.ts";

export type { Running, ServerName } from "./servers/source.ts";
export { withMongoDatabase } from "./servers/mongo-uri.ts";

export interface Servers {
  /** without a database in its path, e.g. mongodb://127.0.0.1:4711/?directConnection=true */
  readonly mongodbUri: string;
  /** e.g. redis://127.0.0.1:4712 */
  readonly redisUrl: string;
  /** superuser (or at least CREATEDB), database `postgres`: postgres://postgres@127.0.0.1:4713/postgres */
  readonly databaseUrl: string;
  readonly sources: readonly {
    readonly server: ServerName;
    readonly source: string;
    /** why this source and none before it */
    readonly because: string;
    readonly ms: number;
  }[];
  /** Ends what was started, and removes its data. Idempotent. */
  stop(): Promise<void>;
}

export interface Options {
  readonly print?: (line: string) => void;
  /** an address beside the loopback, in a network of a test's own, on which a private PostgreSQL listens too */
  readonly address?: string;
  /** more of Redis's command line, for a private one: a node of a cluster, a Sentinel */
  readonly redisArgs?: readonly string[];
}

/**
 * Starts the servers that MONGODB_URI, REDIS_URL and DATABASE_URL do not name. They end with this process, however it
 * ends.
 */
export async function startServers(options: Options = {}): Promise<Servers> {
  const { guard, run } = await beginRun(options, false);
  try {
    // Named servers first, so that a wrong address is reported before a minute of installing.
    const kinds = [mongodb, redis, postgres] as const;
    const named = await all(kinds.map((kind) => startNamed(kind)));
    const started = await all(
      kinds.map(async (kind, i) => report(kind, named[i] ?? (await firstThatWorks(kind, run)), run)),
    );
    const [mongo, queue, database] = started as [Started, Started, Started];
    return {
      mongodbUri: stripMongoDatabase(mongo.running.uri),
      redisUrl: queue.running.uri,
      databaseUrl: database.running.uri,
      sources: kinds.map(({ server }, i) => {
        const { source, because, ms } = started[i] as Started;
        return { server, source, because, ms };
      }),
      stop: () => guard.end(),
    };
  } catch (error) {
    await guard.end().catch(() => undefined);
    throw error;
  }
}

/** A private MongoDB (or FerretDB) that a test can halt and restart; settings that name a server are ignored. */
export const startMongo = (options: Options = {}): Promise<PrivateServer> => startPrivate(mongodb, options);
export const startRedis = (options: Options = {}): Promise<PrivateServer> => startPrivate(redis, options);
export const startPostgres = (options: Options = {}): Promise<PrivateServer> => startPrivate(postgres, options);

export interface PrivateServer extends Running {
  readonly source: string;
}

async function startPrivate(kind: ServerKind, options: Options): Promise<PrivateServer> {
  const { guard, run } = await beginRun({ print: () => undefined, ...options }, true);
  try {
    const { running, source } = await firstThatWorks(kind, run);
    return Object.assign(running, { source, stop: () => guard.end() });
  } catch (error) {
    await guard.end().catch(() => undefined);
    throw error instanceof NoSourceError ? together([error]) : error;
  }
}

async function beginRun(options: Options, durable: boolean): Promise<{ guard: Guard; run: Run }> {
  const guard = await Guard.start();
  const print = options.print ?? ((line: string) => console.log(line));
  return {
    guard,
    run: { guard, print, engine: engineProbe(guard), durable, address: options.address, redisArgs: options.redisArgs },
  };
}

async function startNamed(kind: ServerKind): Promise<Started | undefined> {
  const uri = process.env[kind.setting];
  return uri ? fromSetting(kind, uri) : undefined;
}

function report(kind: ServerKind, started: Started, run: Run): Started {
  run.print(`${kind.server}: ${started.source} in ${started.ms} ms (${started.because})`);
  return started;
}

/** All servers, or one error for all that failed. */
async function all<T>(work: readonly Promise<T>[]): Promise<T[]> {
  const outcomes = await Promise.allSettled(work);
  const failures = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason as Error] : []));
  if (failures.length > 0) throw together(failures);
  return outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
}

/** One error with everything that was tried and the command to run. */
function together(failures: readonly Error[]): Error {
  const lines = failures.flatMap((failure) =>
    failure instanceof NoSourceError
      ? [`no ${failure.server}:`, ...failure.tried.map((line) => `  - ${line}`)]
      : [failure.message],
  );
  const fixes = failures.flatMap((failure) => (failure instanceof NoSourceError ? [failure.fix] : []));
  if (fixes.length > 0) lines.push(`to fix it: ${[...new Set(fixes)].join(" && ")}`);
  return new UnreachableError(lines.join("\n"), { cause: failures[0] });
}

/** Creates a fresh database on the server of that URL, named tallyman_<purpose>_<random>, and returns its URL. */
export async function createDatabase(databaseUrl: string, purpose: string): Promise<string> {
  const plain = purpose
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "_")
    .slice(0, 40);
  const name = `tallyman_${plain}_${randomBytes(4).toString("hex")}`;
  const client = new pg.Client({ connectionString: databaseUrl, connectionTimeoutMillis: 10_000 });
  await client.connect();
  try {
    // From template0: nobody can be connected to it, which would make CREATE DATABASE fail.
    await client.query(`CREATE DATABASE ${name} TEMPLATE template0`);
  } finally {
    await client.end();
  }
  const url = new URL(databaseUrl);
  url.pathname = `/${name}`;
  return url.href;
}
