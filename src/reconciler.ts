import { setTimeout as sleep } from "node:timers/promises";

/** Calls `reconcile` repeatedly until it is stopped, never two turns at once. */
export class Reconciler {
  readonly #reconcile: () => Promise<void>;
  readonly #everyMs: number;
  readonly #stopped = new AbortController();
  #running: Promise<void> | undefined;

  /** @param reconcile one turn; it must not throw */
  constructor(reconcile: () => Promise<void>, everyMs: number) {
    this.#reconcile = reconcile;
    this.#everyMs = everyMs;
  }

  /** Resolves after the first turn. Each later turn begins `everyMs` after the end of the turn before. */
  async start(): Promise<void> {
    await this.#reconcile();
    this.#running = this.#goOn();
  }

  /** Resolves when the running turn has ended. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
  }

  async #goOn(): Promise<void> {
    const { signal } = this.#stopped;
    for (;;) {
      await sleep(this.#everyMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      await this.#reconcile();
    }
  }
}
