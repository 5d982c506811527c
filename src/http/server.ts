import type { AddressInfo } from "node:net";
import { fastify, type FastifyInstance } from "fastify";
import { UsageError } from "../errors.ts";
import { printable } from "../printable.ts";
import { liveness, type Consumption } from "./health.ts";

/** The response to a scrape of /metrics. */
export interface Scrape {
  readonly contentType: string;
  readonly text: () => Promise<string>;
}

/** The worker's HTTP server. */
export class HttpServer {
  readonly #fastify: FastifyInstance;
  readonly #host: string;
  readonly #port: number;

  constructor(host: string, port: number, consumption: () => Promise<readonly Consumption[]>, metrics: Scrape) {
    this.#host = host;
    this.#port = port;
    this.#fastify = fastify({ logger: false, forceCloseConnections: true });
    this.#fastify.get("/livez", async (_request, reply) => {
      const state = liveness(await consumption());
      return reply.code(state.alive ? 200 : 503).send(state);
    });
    this.#fastify.get("/metrics", async (_request, reply) => {
      try {
        return await reply.type(metrics.contentType).send(await metrics.text());
      } catch (error) {
        return reply
          .code(503)
          .type("text/plain")
          .send(`${printable((error as Error).message)}\n`); // no figures are better than old ones
      }
    });
  }

  /** @throws UsageError if the server cannot listen on the port */
  async start(): Promise<void> {
    try {
      await this.#fastify.listen({ host: this.#host, port: this.#port });
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== "EADDRINUSE" && code !== "EADDRNOTAVAIL" && code !== "EACCES") throw error;
      throw new UsageError(
        `The HTTP server cannot listen on HTTP_HOST ${this.#host} and HTTP_PORT ${this.#port}: ${message}. Set HTTP_PORT to another port, or to 0 for any.`,
        { cause: error },
      );
    }
  }

  /** The address after the start, such as "http://127.0.0.1:9464". */
  get address(): string {
    const { port } = this.#fastify.server.address() as AddressInfo;
    return `http://${this.#host.includes(":") ? `[${this.#host}]` : this.#host}:${port}`;
  }

  async stop(): Promise<void> {
    await this.#fastify.close();
  }
}
