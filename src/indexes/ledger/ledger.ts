/**
 * The record of the keeper's changes, written before and after each, so that a rollback takes back exactly those. What
 * is to do is decided from the catalog, not from the ledger.
 */

/**
 * The purpose of a change. `adopt`: the index existed already, so no rollback touches it. `drop`, `restore`: a rollback
 * of a created or replaced index has begun.
 */
export type Intent = "create" | "adopt" | "drop" | "replace" | "restore" | "collection";

/** An entry that stays `started`: the process died, and the server may have gone on. */
export type LedgerState = "started" | "done" | "failed" | "rolled_back";

/**
 * What one run did, or is about to do, to one index. `intent: "collection"`: to the collection itself, with the name
 * "".
 */
export interface LedgerEntry {
  /** a collection, or `schema.table` */
  readonly target: string;
  readonly name: string;
  /** the project of the manifest */
  readonly project: string;
  readonly runId: string;
  readonly intent: Intent;
  readonly state: LedgerState;
  /** of the declared definition */
  readonly fingerprint: string;
  /** as the server takes it: DDL, or a spec as JSON */
  readonly definition: string;
  /** the replaced index in the engine's own text: its definition and what hung on it */
  readonly previous?: string;
  /** PostgreSQL's identity of the index that was made */
  readonly oid?: number;
  /** ISO 8601, by the server's clock */
  readonly startedAt: string;
  readonly finishedAt?: string;
  readonly error?: string;
  /** size at the end of the build, against which later bloat is measured */
  readonly baseline?: { readonly bytes: number; readonly rows: number };
}

/** The ledger of one database. */
export interface Ledger {
  /** All entries, oldest first; empty if the ledger does not exist yet. */
  read(): Promise<readonly LedgerEntry[]>;
  /** Writes an entry, or overwrites the entry of the same run, target and name. */
  write(entry: Omit<LedgerEntry, "startedAt" | "finishedAt">): Promise<void>;
}

/**
 * The current entry of each target and name (`keyOf`): the newest one. A replacement that failed or was rolled back
 * does not count, so the entry before it is current again. @param entries oldest first
 */
export function currentEntries(entries: readonly LedgerEntry[]): Map<string, LedgerEntry> {
  const isVoid = ({ intent, state }: LedgerEntry) =>
    (intent === "replace" || intent === "restore") && (state === "failed" || state === "rolled_back");
  return new Map(entries.filter((entry) => !isVoid(entry)).map((entry) => [keyOf(entry), entry]));
}

/** Did the keeper make the index of this entry, and not drop it since? Only such a change can be rolled back. */
export function isOwnWork({ intent, state }: LedgerEntry): boolean {
  return intent !== "adopt" && (state === "started" || (state === "done" && intent !== "drop"));
}

/** Did a drop begin and not end? Then an invalid index is its leftover, not that of a build. */
export function isOpenDrop(entry: LedgerEntry | null | undefined): entry is LedgerEntry {
  return entry?.intent === "drop" && entry.state === "started";
}

/** Target and name as one key. */
export function keyOf({ target, name }: { readonly target: string; readonly name: string }): string {
  return `${target}\0${name}`;
}
