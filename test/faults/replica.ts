import type { WorkerProcess } from "../support/program.ts";
import { startBuiltWorker, type Env } from "./built.ts";

/** How long a supervisor waits before it restarts its process. */
const RESTART_MS = 500;

/** One worker under a supervisor, as a container platform would run it: a process that ends is started again. */
export class Replica {
  readonly #env: Env;
  readonly #launcher: readonly string[] | undefined;
  readonly #logs: string[] = [];
  readonly #exits: (number | null)[] = [];
  #current: WorkerProcess | undefined;
  #isStopped = false;
  #kept: Promise<void> | undefined;

  private constructor(env: Env, launcher: readonly string[] | undefined) {
    this.#env = env;
    this.#launcher = launcher;
  }

  /** Starts it and waits until it works. @param launcher a command in front of its command line */
  static async start(env: Env, launcher?: readonly string[]): Promise<Replica> {
    const replica = new Replica(env, launcher);
    replica.#current = await startBuiltWorker(env, launcher);
    replica.#kept = replica.#keep(replica.#current);
    return replica;
  }

  /** Was it asked to stop, or killed with its supervisor? */
  get isStopped(): boolean {
    return this.#isStopped;
  }

  get pid(): number | undefined {
    return this.#current?.pid;
  }

  /** Exit codes of processes that ended without being asked to; null for a signal. */
  get exits(): readonly (number | null)[] {
    return this.#exits;
  }

  /** All that its processes wrote to standard error. */
  get log(): string {
    return [...this.#logs, this.#current?.stderr() ?? ""].join("");
  }

  signal(name: NodeJS.Signals): void {
    this.#current?.signal(name);
  }

  /** Removes the supervisor and kills the process. Resolves when it is dead. */
  async kill(): Promise<void> {
    this.#isStopped = true;
    this.#current?.signal("SIGKILL");
    await this.#kept;
  }

  /** Tells it to stop, and returns its exit code and how long it took. */
  async stop(): Promise<{ code: number | null; ms: number }> {
    this.#isStopped = true;
    const told = performance.now();
    const last = this.#current;
    last?.signal("SIGTERM");
    await this.#kept;
    const ended = await last?.ended;
    return { code: ended ? ended.code : 0, ms: performance.now() - told };
  }

  async #keep(first: WorkerProcess): Promise<void> {
    for (let worker: WorkerProcess | undefined = first; ; worker = await this.#restart()) {
      if (worker) {
        const { code, stderr } = await worker.ended;
        if (this.#isStopped) return;
        this.#exits.push(code);
        this.#logs.push(stderr);
      }
      this.#current = undefined;
      await new Promise((resolve) => setTimeout(resolve, RESTART_MS));
      if (this.#isStopped) return;
    }
  }

  async #restart(): Promise<WorkerProcess | undefined> {
    try {
      this.#current = await startBuiltWorker(this.#env, this.#launcher);
      if (this.#isStopped) this.#current.signal("SIGTERM");
      return this.#current;
    } catch (error) {
      this.#logs.push(`${(error as Error).message}\n`); // a server is still away
      return undefined;
    }
  }
}
