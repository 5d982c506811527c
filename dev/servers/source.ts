import type * as Testcontainers from "testcontainers";
import { UnreachableError } from "../../src/errors.ts";
import type { Guard } from "./guard.ts";

export type ServerName = "mongodb" | "redis" | "postgres";

/** A server that runs and answers. */
export interface Running {
  readonly uri: string;
  /** undefined for a server in a container, or one that was running before */
  readonly pid: number | undefined;
  /** Stops it (SIGKILL to make it crash) and keeps its data and its port. */
  halt(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again at the same address; resolves when it answers. */
  resume(): Promise<void>;
  restart(signal?: NodeJS.Signals): Promise<void>;
  /** Ends it and removes its data. */
  stop(): Promise<void>;
  /** the server that stores this server's data (FerretDB's PostgreSQL) */
  readonly behind?: Running;
}

/** What runs containers here. */
export interface Engine {
  readonly testcontainers: typeof Testcontainers;
  readonly client: Testcontainers.ContainerRuntimeClient;
  /** puts this run's containers under the guard: name and value of their label */
  readonly label: Readonly<Record<string, string>>;
}
export type EngineProbe = () => Promise<Engine>;

/** What a source needs from the run it belongs to. */
export interface Run {
  readonly guard: Guard;
  readonly print: (line: string) => void;
  /** one probe, shared by the three servers */
  readonly engine: EngineProbe;
  /** commits must survive a crash of the server, for fault tests; without it the server is faster */
  readonly durable: boolean;
  /** an address beside the loopback, in a network of a test's own, on which PostgreSQL is to listen too */
  readonly address?: string | undefined;
  /** more of Redis's command line, in front of ours */
  readonly redisArgs?: readonly string[] | undefined;
}

/** One way to get a server. `start` throws with the reason if it is not available. */
export interface Source {
  readonly name: string;
  start(run: Run): Promise<Running & { readonly source: string }>;
}

/** One kind of server: how to test that it answers, and the sources to get it from, the best first. */
export interface ServerKind {
  readonly server: ServerName;
  /** the setting that names a running server */
  readonly setting: string;
  /** resolves when the server at this address answers */
  ping(uri: string): Promise<void>;
  readonly sources: readonly Source[];
  /** the command that makes a source available on this machine, unless the last source knows a better one */
  fix(): Promise<string> | string;
}

/** The source is not available here, for a reason that is no fault. */
export class Unavailable extends Error {
  override readonly name = "Unavailable";
  /** the command that would make it available */
  readonly fix: string | undefined;

  constructor(message: string, fix?: string) {
    super(message);
    this.fix = fix;
  }
}

export interface Started {
  readonly running: Running;
  readonly source: string;
  readonly because: string;
  readonly ms: number;
}

/** None of the sources of a server works. */
export class NoSourceError extends Error {
  override readonly name = "NoSourceError";
  readonly server: ServerName;
  readonly tried: readonly string[];
  readonly fix: string;

  constructor(server: ServerName, tried: readonly string[], fix: string) {
    super(`no ${server}: ${tried.join("; ")}`);
    this.server = server;
    this.tried = tried;
    this.fix = fix;
  }
}

/** The server that the setting names. If it does not answer, that is an error; no other source is tried. */
export async function fromSetting(kind: ServerKind, uri: string): Promise<Started> {
  const begun = performance.now();
  try {
    await kind.ping(uri);
  } catch (error) {
    throw new UnreachableError(
      `${kind.setting} is set to ${redact(uri)}, which does not answer: ${reason(error)} ` +
        `(start that server, or unset ${kind.setting} to have one started)`,
      { cause: error },
    );
  }
  const untouched = () => Promise.reject(new Error(`the server of ${kind.setting} was not started here`));
  return {
    running: {
      uri,
      pid: undefined,
      halt: untouched,
      resume: untouched,
      restart: untouched,
      stop: () => Promise.resolve(),
    },
    source: redact(uri),
    because: `${kind.setting} is set`,
    ms: Math.round(performance.now() - begun),
  };
}

/** The first source that works, with why the earlier ones did not. */
export async function firstThatWorks(kind: ServerKind, run: Run): Promise<Started> {
  const begun = performance.now();
  const tried: string[] = [];
  let fix: string | undefined;
  for (const source of kind.sources) {
    try {
      const running = await source.start(run);
      const because = tried.length === 0 ? "first choice" : tried.join("; ");
      return { running, source: running.source, because, ms: Math.round(performance.now() - begun) };
    } catch (error) {
      tried.push(`${source.name}: ${reason(error)}`);
      if (error instanceof Unavailable && error.fix !== undefined) fix = error.fix;
    }
  }
  throw new NoSourceError(kind.server, tried, fix ?? (await kind.fix()));
}

/** An error as a short text. */
export function reason(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return reason(error.errors[0]);
  const message = error instanceof Error ? error.message || error.name : String(error);
  return message.replaceAll(/\s+/g, " ").trim().slice(0, 600);
}

/** A URI without its password. */
export function redact(uri: string): string {
  return uri.replace(/^([^:/?#]+:\/\/[^:@/?#]*):[^@/?#]*@/, "$1:***@");
}
