/**
 * What the keeper did, written before and after every change, so that a rollback takes back exactly that. It never
 * decides what there is to do: for that the catalog is looked at each time.
 */

/**
 * What was meant by a change. `adopt`: it was there already, so no rollback touches it. `drop`, `restore`: a rollback of
 * what was created or replaced is under way.
 */
export type Intent = "create" | "adopt" | "drop" | "replace" | "restore" | "collection";

/** `started` without an end: the process died, and the server may have gone on. */
export type LedgerState = "started" | "done" | "failed" | "rolled_back";

/** What one run did, or is about to do, to one index; `intent: "collection"` is about the collection itself, under the name "". */
export interface LedgerEntry {
  /** a collection, or `schema.table` */
  readonly target: string;
  readonly name: string;
  /** the manifest's */
  readonly project: string;
  readonly runId: string;
  readonly intent: Intent;
  readonly state: LedgerState;
  /** of the definition that was wanted */
  readonly fingerprint: string;
  /** as the server takes it: DDL, or a spec as JSON */
  readonly definition: string;
  /** what a `replace` took away */
  readonly previous?: string;
  /** PostgreSQL's identity of the index that was made */
  readonly oid?: number;
  /** ISO 8601, by the server's clock */
  readonly startedAt: string;
  readonly finishedAt?: string;
  readonly error?: string;
  /** size at the end of the build, which later bloat is measured against */
  readonly baseline?: { readonly bytes: number; readonly rows: number };
}

/** The ledger of one database. */
export interface Ledger {
  /** Everything, oldest first; empty where the ledger was never written. */
  read(): Promise<readonly LedgerEntry[]>;
  /** Writes an entry; one of the same target and name is replaced. */
  write(entry: Omit<LedgerEntry, "startedAt" | "finishedAt">): Promise<void>;
}

/**
 * The current entry of each target and name (`keyOf`): the newest, but not a replacement that failed or was taken
 * back, since then the entry before it is current again. @param entries oldest first
 */
export function currentEntries(entries: readonly LedgerEntry[]): Map<string, LedgerEntry> {
  const isVoid = ({ intent, state }: LedgerEntry) =>
    (intent === "replace" || intent === "restore") && (state === "failed" || state === "rolled_back");
  return new Map(entries.filter((entry) => !isVoid(entry)).map((entry) => [keyOf(entry), entry]));
}

/** Did the keeper make what this entry is about, and has that not gone since? Only such a change is taken back. */
export function isOwnWork({ intent, state }: LedgerEntry): boolean {
  return intent !== "adopt" && (state === "started" || (state === "done" && intent !== "drop"));
}

/** A drop began and did not end, so that an invalid index is what it left. */
export function isOpenDrop(entry: LedgerEntry | null | undefined): entry is LedgerEntry {
  return entry?.intent === "drop" && entry.state === "started";
}

/** What an entry is about, as one text. */
export function keyOf({ target, name }: { readonly target: string; readonly name: string }): string {
  return `${target}\0${name}`;
}
