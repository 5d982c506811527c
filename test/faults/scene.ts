import { hostname } from "node:os";
import pg from "pg";
import { createDatabase } from "../../dev/servers.ts";
import { migrate } from "../../src/db/postgres/migrate.ts";
import { isConnectionLoss } from "../../src/errors.ts";
import { below } from "../support/random.ts";
import { until } from "../support/until.ts";
import { PATIENCE_MS, runBuilt, type Env } from "./built.ts";
import { Replica } from "./replica.ts";
import type { FaultServers } from "./servers.ts";
import { TIME_ZONE, type Source } from "./source.ts";

/** A run that has not ended this long after its fault is stuck: five times the lease of a dead process. */
const STUCK_MS = 300_000;

/** A chunk that a process holds. */
export interface HeldChunk {
  readonly number: number;
  readonly claimedBy: string;
}

/** Of a run, in tenant-days. */
export interface Progress {
  readonly planned: number;
  readonly done: number;
  readonly held: readonly HeldChunk[];
}

/** A cache and a queue of a scenario's own, the processes that work there, and queries about their work. */
export class Scene {
  readonly servers: FaultServers;
  readonly source: Source;
  readonly random: () => number;
  readonly env: Readonly<Record<string, string>>;
  readonly databaseUrl: string;
  readonly #replicas: Replica[] = [];
  /** when every run had ended, by the clock of the database; later runs are not judged */
  settledAt: string | null = null;
  readonly #pool: pg.Pool;

  private constructor(servers: FaultServers, random: () => number, databaseUrl: string, env: Record<string, string>) {
    this.servers = servers;
    this.source = servers.source;
    this.random = random;
    this.databaseUrl = databaseUrl;
    this.env = env;
    // Kept open: while the server is out of connections, a new one could not be opened.
    this.#pool = new pg.Pool({
      connectionString: databaseUrl,
      max: 2,
      idleTimeoutMillis: 0,
      connectionTimeoutMillis: 2_000,
      application_name: "faults",
      options: "-c TimeZone=UTC -c DateStyle=ISO,YMD",
    });
    this.#pool.on("error", () => undefined);
  }

  static async open(
    servers: FaultServers,
    name: string,
    settings: Readonly<Record<string, string>>,
    random: () => number,
  ): Promise<Scene> {
    const databaseUrl = await createDatabase(servers.postgres.uri, name);
    await migrate(databaseUrl, "up");
    return new Scene(servers, random, databaseUrl, {
      MONGODB_URI: servers.source.uri,
      REDIS_URL: servers.redis.uri,
      DATABASE_URL: databaseUrl,
      QUEUE_PREFIX: new URL(databaseUrl).pathname.slice(1),
      USAGE_TIMEZONE: TIME_ZONE,
      HTTP_PORT: "0",
      LOG_LEVEL: "info",
      REFRESH_SECONDS: "86400", // every event has just arrived, so it would rebuild everything besides
      ...settings,
    });
  }

  /** Queries the database; retries while it is away. */
  async ask<R extends pg.QueryResultRow>(sql: string, values: readonly unknown[] = []): Promise<R[]> {
    return until(
      "answer of PostgreSQL",
      async () => {
        try {
          return (await this.#pool.query<R>(sql, [...values])).rows;
        } catch (error) {
          if (isConnectionLoss(error) || !(error as { code?: string }).code) return undefined;
          throw error;
        }
      },
      PATIENCE_MS,
    );
  }

  /** Reads with the pool itself, when the servers are whole again. */
  get pool(): pg.Pool {
    return this.#pool;
  }

  /** @param launcher a command in front of its command line */
  async startReplica(env: Env = {}, launcher?: readonly string[]): Promise<Replica> {
    const replica = await Replica.start({ ...this.env, ...env }, launcher);
    this.#replicas.push(replica);
    return replica;
  }

  /** Starts many replicas, a few at a time: all at once would each exceed the deadline of their start. */
  async startReplicas(envs: readonly Env[]): Promise<Replica[]> {
    const started: Replica[] = [];
    const queue = envs.entries();
    const startNext = async () => {
      for (const [number, env] of queue) started[number] = await this.startReplica(env);
    };
    await Promise.all(Array.from({ length: 3 }, startNext));
    return started;
  }

  /** What all processes of this scene wrote to standard error. */
  everyLog(): string {
    return this.#replicas.map(({ log }) => log).join("\n");
  }

  /** `tallyman backfill`, by default of every day. @returns the id of the run */
  async backfill({ from, to }: { readonly from: string; readonly to: string } = this.source): Promise<string> {
    const asked = await runBuilt(this.env, "backfill", "--from", from, "--to", to, "--json");
    if (asked.code !== 0) throw new Error(`backfill ended with ${asked.code}: ${asked.stderr}`);
    return (JSON.parse(asked.stdout) as { run: { id: string } }).run.id;
  }

  async progress(runId: string): Promise<Progress> {
    const rows = await this.ask<{ number: number; state: string; claimedBy: string; planned: number; cursor: number }>(
      `SELECT number, state, claimed_by AS "claimedBy", planned, cursor FROM usage_chunk WHERE run_id = $1`,
      [runId],
    );
    return {
      planned: rows.reduce((sum, { planned }) => sum + planned, 0),
      done: rows.reduce((sum, { cursor }) => sum + cursor, 0),
      held: rows.filter(({ state }) => state === "running"),
    };
  }

  /** A fault for each chunk that spent an attempt, which it must not. @param by what spent it, for a person */
  async spentAttempts(runId: string, by: string): Promise<string[]> {
    const spent = await this.ask<{ number: number; attempts: number }>(
      "SELECT number, attempts FROM usage_chunk WHERE run_id = $1 AND attempts > 0",
      [runId],
    );
    return spent.map(({ number, attempts }) => `chunk ${number}: ${attempts} attempts spent by ${by}`);
  }

  /** The chunk that this process holds by the table, whether or not it lives. */
  async heldBy(runId: string, pid: number | undefined): Promise<HeldChunk | undefined> {
    const { held } = await this.progress(runId);
    return held.find(({ claimedBy }) => claimedBy === `${hostname()}:${pid}`);
  }

  /**
   * Waits for a moment while the run is worked on: some share of its days done, between `least` and `most` percent,
   * and a part of a second more.
   */
  async someMoment(runId: string, least = 5, most = 60): Promise<string> {
    const percent = least + below(this.random, most - least);
    const extraMs = below(this.random, 400);
    await this.percentDone(runId, percent);
    // A fixed sleep on purpose: it is the random moment, and there is no condition to wait for.
    await new Promise((resolve) => setTimeout(resolve, extraMs));
    return `${percent}% + ${extraMs} ms`;
  }

  async percentDone(runId: string, percent: number): Promise<Progress> {
    return until(
      `${percent}% of the run`,
      async () => {
        const now = await this.progress(runId);
        return now.planned > 0 && now.done * 100 >= now.planned * percent && now;
      },
      PATIENCE_MS,
    );
  }

  /** Waits for the end of every run. @returns false if a run is stuck */
  async settled(since: number): Promise<boolean> {
    const left = STUCK_MS - (performance.now() - since);
    this.settledAt = null;
    try {
      await until(
        "end of every run",
        async () => {
          const [row] = await this.ask<{ now: string; unfinished: boolean }>(
            `SELECT clock_timestamp()::text AS now,
                    EXISTS (SELECT 1 FROM usage_run WHERE finished_at IS NULL) AS unfinished`,
          );
          if (row?.unfinished === false) this.settledAt = row.now;
          return this.settledAt !== null;
        },
        Math.max(left, 10_000),
      );
      return true;
    } catch {
      return false;
    }
  }

  /** Stops every running replica. @returns faults in how they ended */
  async stopReplicas(): Promise<string[]> {
    const ends = await Promise.all(this.#running().map((replica) => replica.stop()));
    return ends.flatMap(({ code, ms }) => {
      if (code !== 0) return [`a worker that was asked to stop exited with ${code}`];
      return ms > 25_500 ? [`a worker took ${Math.round(ms)} ms to stop`] : [];
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.#running().map((replica) => replica.kill()));
    await this.#pool.end();
    const client = new pg.Client({ connectionString: this.servers.postgres.uri });
    await client.connect();
    await client.query(`DROP DATABASE ${new URL(this.databaseUrl).pathname.slice(1)} WITH (FORCE)`);
    await client.end();
  }

  #running(): Replica[] {
    return this.#replicas.filter(({ isStopped }) => !isStopped);
  }
}
