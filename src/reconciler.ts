import { setTimeout as sleep } from "node:timers/promises";

/** Reconciles again and again until it is stopped: one turn after the other, never two at once. */
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

  /** Ends with the first turn; the others follow, each so long after the end of the one before. */
  async start(): Promise<void> {
    await this.#reconcile();
    this.#running = this.#goOn();
  }

  /** Ends with the turn that is underway. */
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
