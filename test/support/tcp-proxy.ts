import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

interface Link {
  readonly client: Socket;
  readonly server: Socket;
}

/**
 * A TCP proxy on a free port, between a client and a server: it can lead new connections to another
 * server, and fall silent, as a network does that drops every packet.
 */
export class TcpProxy {
  readonly #listener: Server;
  readonly #links = new Set<Link>();
  #target: { readonly host: string; readonly port: number };
  #isSilent = false;

  private constructor(uri: string) {
    this.#target = addressOf(uri);
    this.#listener = createServer({ allowHalfOpen: true }, (client) => this.#link(client));
  }

  /**
   * @param uri of the server behind it, with a port
   * @param host the address that it listens on
   */
  static async open(uri: string, host = "127.0.0.1"): Promise<TcpProxy> {
    const proxy = new TcpProxy(uri);
    await new Promise<void>((resolve) => proxy.#listener.listen(0, host, resolve));
    return proxy;
  }

  /** The same connection string, through this proxy. */
  through(uri: string): string {
    const { address, port } = this.#listener.address() as AddressInfo;
    const { host, port: behind } = addressOf(uri);
    return uri.replace(`${host}:${behind}`, `${address}:${port}`);
  }

  /** Leads new connections to another server; those that are open stay where they are. */
  leadTo(uri: string): void {
    this.#target = addressOf(uri);
  }

  /** From now on passes nothing in either direction; accepts connections, and lets none end. */
  silence(): void {
    this.#isSilent = true;
    for (const { client, server } of this.#links) {
      client.unpipe(server).pause();
      server.unpipe(client).pause();
    }
  }

  /** Passes again what has waited, and everything from now on. */
  restore(): void {
    this.#isSilent = false;
    for (const link of this.#links) pass(link);
  }

  /** Resets every open connection. */
  cut(): void {
    for (const { client, server } of this.#links) {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#listener.close(resolve));
    this.cut();
    await closed;
  }

  #link(client: Socket): void {
    const server = connect({ ...this.#target, allowHalfOpen: true });
    const link = { client, server };
    this.#links.add(link);
    const unlink = () => {
      this.#links.delete(link);
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      socket.on("error", unlink).on("close", unlink);
    }
    if (this.#isSilent) client.pause();
    else pass(link);
  }
}

function pass({ client, server }: Link): void {
  client.pipe(server);
  server.pipe(client);
}

function addressOf(uri: string): { host: string; port: number } {
  const [, host, port] = /^[^/]+\/\/(?:[^@/]*@)?([^:/]+):(\d+)/.exec(uri) ?? [];
  if (host === undefined) throw new Error(`no host and port in ${uri}`);
  return { host, port: Number(port) };
}
