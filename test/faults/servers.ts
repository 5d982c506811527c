import { startMongo, startPostgres, startRedis, type PrivateServer, type ServerName } from "../../dev/servers.ts";
import { createSource, USUAL_SHAPE, type Source } from "./source.ts";

/** The servers of one scenario. A server that its fault takes down serves no other scenario. */
export interface FaultServers {
  readonly mongodb: PrivateServer;
  readonly redis: PrivateServer;
  readonly postgres: PrivateServer;
  /** the events in that MongoDB */
  readonly source: Source;
}

/** What a scenario wants of its servers. */
export interface ServerWishes {
  readonly name: string;
  /** servers that the fault takes down, so nobody else may use them */
  readonly owns: readonly ServerName[];
  /** how a server of its own is started, where it is not an ordinary one */
  readonly start?: Partial<Readonly<Record<ServerName, () => Promise<PrivateServer>>>>;
}

const START = { mongodb: startMongo, redis: startRedis, postgres: startPostgres } as const;

/** Starts servers as they are needed, and keeps them for the next rounds. */
export class ServerPark {
  readonly #seed: number;
  readonly #started = new Map<string, Promise<PrivateServer>>();
  readonly #sources = new Map<string, Promise<Source>>();

  /** @param seed of the events */
  constructor(seed: number) {
    this.#seed = seed;
  }

  async for(scenario: ServerWishes): Promise<FaultServers> {
    const owner = (server: ServerName) => (scenario.owns.includes(server) ? scenario.name : "all");
    const [mongodb, redis, postgres] = await Promise.all(
      (["mongodb", "redis", "postgres"] as const).map((server) =>
        this.#server(server, owner(server), scenario.start?.[server] ?? START[server]),
      ),
    );
    const source = await this.#source(owner("mongodb"), mongodb as PrivateServer);
    return { mongodb, redis, postgres, source } as FaultServers;
  }

  #server(server: ServerName, owner: string, start: () => Promise<PrivateServer>): Promise<PrivateServer> {
    const key = `${server}|${owner}`;
    const started = this.#started.get(key) ?? start();
    this.#started.set(key, started);
    return started;
  }

  #source(owner: string, { uri }: PrivateServer): Promise<Source> {
    const source = this.#sources.get(owner) ?? createSource(uri, { ...USUAL_SHAPE, seed: this.#seed });
    this.#sources.set(owner, source);
    return source;
  }

  async stop(): Promise<void> {
    for (const source of this.#sources.values()) await source.then((one) => one.close()).catch(() => undefined);
    await Promise.all(Array.from(this.#started.values(), (server) => server.then((one) => one.stop())));
  }
}
