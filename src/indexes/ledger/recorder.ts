/** One run's hand on the ledgers. */
import { keyOf, currentEntries, type Intent, type Ledger, type LedgerEntry, type LedgerState } from "./ledger.ts";

/** The name under which a collection itself stands in the ledger. */
export const COLLECTION = "";

/** What a ledger entry is about. */
export interface EntrySubject {
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
  #current: Map<string, LedgerEntry> | undefined;

  constructor(ledger: Ledger, project: string, runId: string) {
    this.#ledger = ledger;
    this.project = project;
    this.runId = runId;
  }

  /** The current entry of an index; undefined where the keeper never touched it. */
  async current(target: string, name: string): Promise<LedgerEntry | undefined> {
    this.#current ??= currentEntries(await this.#ledger.read());
    return this.#current.get(keyOf({ target, name }));
  }

  /** After the lock was away: another run may have written meanwhile. */
  forget(): void {
    this.#current = undefined;
  }

  /** @param of the run whose entry it is, unless it is this one's */
  async write(
    subject: EntrySubject,
    state: LedgerState,
    more: Pick<LedgerEntry, "oid" | "baseline" | "error"> = {},
    { runId, project }: Pick<LedgerEntry, "runId" | "project"> = this,
  ): Promise<void> {
    this.forget();
    await this.#ledger.write({ ...subject, project, runId, state, ...more });
  }
}

/** What is written at an index in the database itself, so that it is known again under another identity. */
export function markOf(project: string, fingerprint: string): string {
  return `tallyman:${project}:${fingerprint.slice(0, 12)}`;
}
