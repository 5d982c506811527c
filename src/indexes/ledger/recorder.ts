/** Writes the ledger entries of one run. */
import { keyOf, currentEntries, type Intent, type Ledger, type LedgerEntry, type LedgerState } from "./ledger.ts";

/** The name in the ledger entry of a collection itself. */
export const COLLECTION = "";

/** The change that a ledger entry records. */
export interface EntrySubject {
  readonly target: string;
  readonly name: string;
  readonly intent: Intent;
  readonly fingerprint: string;
  readonly definition: string;
  readonly previous?: string;
}

/** Writes the entries of one run into the ledger of one engine, and looks up current entries. */
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

  /** Reads the ledger afresh next time: if the lock was lost, another run may have written. */
  forget(): void {
    this.#current = undefined;
  }

  /** The last parameter is the run that the entry belongs to: this one, unless given. */
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

/** The mark on an index in the database: it identifies the keeper's index also after REINDEX changed its oid. */
export function markOf(project: string, fingerprint: string): string {
  return `tallyman:${project}:${fingerprint.slice(0, 12)}`;
}

/** What else is in the comment on an index. */
export function withoutMark(comment: string): string {
  return comment.replaceAll(/^tallyman:.*:[0-9a-f]{12}$/gm, "").trim();
}
