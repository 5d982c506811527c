/** One run's hand on the ledgers. */
import { keyOf, standing, type Intent, type Ledger, type LedgerEntry, type LedgerState } from "./ledger.ts";

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
  readonly #ledger: Ledger;
  #standing: Map<string, LedgerEntry> | undefined;

  constructor(ledger: Ledger, project: string, runId: string) {
    this.#ledger = ledger;
    this.project = project;
    this.runId = runId;
  }

  /** The deed that stands for an index; undefined where the keeper never touched it. */
  async newest(target: string, name: string): Promise<LedgerEntry | undefined> {
    this.#standing ??= standing(await this.#ledger.read());
    return this.#standing.get(keyOf({ target, name }));
  }

  /** After the lock was away: another run may have written meanwhile. */
  forget(): void {
    this.#standing = undefined;
  }

  /** @param of the run whose deed it is, unless it is this one's */
  async write(
    deed: Deed,
    state: LedgerState,
    more: Pick<LedgerEntry, "oid" | "baseline" | "error"> = {},
    { runId, project }: Pick<LedgerEntry, "runId" | "project"> = this,
  ): Promise<void> {
    this.forget();
    await this.#ledger.write({ ...deed, project, runId, state, ...more });
  }
}

/** What is written at an index in the database itself, so that it is known again under another identity. */
export function markOf(project: string, fingerprint: string): string {
  return `tallyman:${project}:${fingerprint.slice(0, 12)}`;
}
