/** One run's hand on the ledgers. */
import type { Engine } from "./engine.ts";
import type { Intent, LedgerEntry, LedgerState } from "./ledger.ts";

/** The name under which a collection itself stands in the ledger. */
export const COLLECTION = "";

/** What a deed is about. */
export interface Deed {
  readonly target: string;
  readonly name: string;
  readonly intent: Intent;
  readonly fingerprint: string;
  readonly definition: string;
  readonly previous?: string;
}

/** Writes what a run does into the ledger of one engine, and knows what earlier runs did. */
export class Recorder {
  readonly runId: string;
  readonly project: string;
  readonly #engine: Engine;
  #newest: Map<string, LedgerEntry> | undefined;

  constructor(engine: Engine, project: string, runId: string) {
    this.#engine = engine;
    this.project = project;
    this.runId = runId;
  }

  /** The newest deed about an index; undefined where the keeper never touched it. */
  async newest(target: string, name: string): Promise<LedgerEntry | undefined> {
    if (!this.#newest) {
      const entries = await this.#engine.ledger.read();
      this.#newest = new Map(entries.map((entry) => [keyOf(entry), entry]));
    }
    return this.#newest.get(keyOf({ target, name }));
  }

  /** @param runId of the run whose deed it is, unless it is this one's */
  async write(
    deed: Deed,
    state: LedgerState,
    more: Pick<LedgerEntry, "oid" | "baseline" | "error"> = {},
    runId = this.runId,
  ): Promise<void> {
    const entry = { ...deed, project: this.project, runId, state, ...more };
    await this.#engine.ledger.write(entry);
    this.#newest?.set(keyOf(deed), { ...entry, startedAt: "" });
  }

  /** What is written at an index in the database itself, so that a lost ledger can be told from somebody else's index. */
  mark(fingerprint: string): string {
    return `tallyman:${this.project}:${fingerprint.slice(0, 12)}`;
  }
}

function keyOf({ target, name }: { readonly target: string; readonly name: string }): string {
  return `${target}\0${name}`;
}
