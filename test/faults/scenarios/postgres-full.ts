import pg from "pg";
import { below } from "../../support/random.ts";
import { runBuilt } from "../built.ts";
import { ONE_AT_A_TIME, type Scenario } from "../scenario.ts";

const REFUSED = "too many clients already";
/** The last statement of a worker's connection for locks. */
const OF_THE_LOCKS = "pg_(try_)?advisory_(un)?lock\\(";

/**
 * Others take every connection that PostgreSQL has, for some seconds, and the workers lose theirs: all of them, or all
 * but the one that holds their locks.
 */
export const postgresFull: Scenario = {
  name: "postgres-full",
  owns: ["postgres"],
  processes: 3,
  settings: ONE_AT_A_TIME,
  async inject(scene) {
    const runId = await scene.backfill();
    const replicas = [await scene.startReplica(), await scene.startReplica()];
    const holdMs = 3_000 + below(scene.random, 9_000);
    const withLocks = below(scene.random, 2) === 0;
    const moment = await scene.someMoment(runId);
    const { held, done, planned } = await scene.progress(runId);
    const at = performance.now();
    const hogs = new Hogs(scene.servers.postgres.uri);
    try {
      await hogs.takeAll();
      const over = performance.now() + holdMs;
      const asked = runBuilt(scene.env, "status");
      while (performance.now() < over) {
        await hogs.takeAll();
        await scene.ask(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'tallyman' AND ($1 OR query !~ $2)`,
          [withLocks, OF_THE_LOCKS],
        );
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
      const { code, stderr } = await asked;
      await hogs.letGo();
      const refused = replicas.filter(({ log }) => log.includes(REFUSED)).length;
      const wasHit = held.length > 0 && refused > 0;
      return {
        moment,
        hit: wasHit
          ? `none left for ${(holdMs / 1_000).toFixed(1)} s, locks ${withLocks ? "lost" : "kept"}: ${refused} workers refused, chunk ${held[0]?.number} in hand at ${done}/${planned}`
          : undefined,
        at,
        faults: () =>
          code === 5 || !stderr.includes(REFUSED) ? [] : [`a command that was refused ended with ${code}: ${stderr}`],
      };
    } finally {
      await hogs.letGo();
    }
  },
};

const AT_ONCE = 8;
/** The workers themselves may have taken connections that others gave up. */
const AGAIN_MS = 200;

/** Idle connections that only take up room. */
class Hogs {
  readonly #uri: string;
  #clients: pg.Client[] = [];

  constructor(uri: string) {
    this.#uri = uri;
  }

  /** Connects until the server refuses. */
  async takeAll(): Promise<void> {
    const connect = async () => {
      while (await this.#takeOne());
    };
    await Promise.all(Array.from({ length: AT_ONCE }, connect));
  }

  async #takeOne(): Promise<boolean> {
    const client = new pg.Client({ connectionString: this.#uri, application_name: "hog" });
    client.on("error", () => undefined);
    try {
      await client.connect();
      this.#clients.push(client);
      return true;
    } catch (error) {
      if (!(error as Error).message.includes(REFUSED)) throw error;
      return false;
    }
  }

  async letGo(): Promise<void> {
    await Promise.all(this.#clients.splice(0).map((client) => client.end().catch(() => undefined)));
  }
}
