/**
 * What the verbs need of a database: to see its indexes in their normal form, and to change one at a time. A new engine
 * implements `Engine` and runs the suite in test/integration/indexes/engine-conformance.ts; the steps are in
 * CONTRIBUTING.md.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { ActualIndex, Observation } from "../decision/observation.ts";
import type { Ledger, LedgerEntry } from "../ledger/ledger.ts";
import type { EngineName } from "../manifest/manifest.ts";
import type { Discovery } from "./discovery.ts";
import type { BuildWindow, TargetFigures } from "./figures.ts";

/**
 * What to do after an error. `fail`: give up, the same statement would fail again. `again`: look at the server at once,
 * it has changed. `retry`: look at it after a pause; the look shows any leftover.
 */
export type Recovery = "fail" | "again" | "retry";

/** A declared index, with the fields that every engine has. */
export interface DeclaredIndex {
  readonly name: string;
  readonly phase?: number;
  readonly required?: boolean;
  readonly checked?: boolean;
  readonly replace?: boolean;
  readonly constraint?: string;
}

/** A change of an index that is about to begin. */
export interface Change {
  readonly target: string;
  readonly name: string;
  /** `replace`: by the declared index of that name; `restore`: by the one that it replaced */
  readonly does: "create" | "replace" | "restore" | "drop";
  /** the index to be replaced or dropped */
  readonly found?: ActualIndex;
  /** the ledger's text of the index to be restored */
  readonly previous?: string | undefined;
}

export interface Engine {
  readonly name: EngineName;
  /** Collections or `schema.table`s with their declared indexes. */
  readonly targets: ReadonlyMap<string, readonly DeclaredIndex[]>;
  /** Names of undeclared indexes that no report mentions. */
  readonly ignored: ReadonlySet<string>;
  readonly ledger: Ledger;
  readonly replacement: Replacement;
  readonly statistics: Statistics;
  readonly maintenance: Maintenance;
  readonly discovery: Discovery;
  observe(target: string): Promise<Observation>;
  /**
   * What the server would refuse in any step of the change, and what to do about it; undefined if nothing. Absent where
   * `replacement.obstacle` is all there is to ask.
   */
  objection?(change: Change): Promise<string | undefined>;
  /** Why the build must not start now; undefined if it may. @param found the index to be replaced */
  refusal(target: string, name: string, found?: ActualIndex): Promise<string | undefined>;
  /**
   * Duplicate values that a unique index would refuse, for a person; undefined without duplicates or for other indexes.
   */
  duplicates(target: string, name: string): Promise<string | undefined>;
  /** The statement or command that builds the index, word for word. */
  definition(target: string, name: string): string;
  /** The statements that `create` would run now, where they are more than the definition's. */
  statements?(target: string, name: string): Promise<readonly string[]>;
  /** The statement that drops the leftover of a failed build; undefined where the server leaves none. */
  removal(target: string, name: string): string | undefined;
  /** Builds the index, from where an earlier process ended. */
  create(target: string, name: string): Promise<void>;
  /** Drops what an interrupted build left besides the index itself; absent where nothing can be left. */
  sweep?(target: string, name: string): Promise<void>;
  /** Returns when no session is building an index on the target. */
  waitForBuild(target: string, name: string): Promise<void>;
  /** Drops an invalid leftover. After a cancellation it gives up soon and leaves the drop to the next run. */
  dropInvalid(target: string, name: string): Promise<void>;
  /** Drops an index, online; succeeds if the index does not exist. */
  drop(target: string, name: string): Promise<void>;
  /**
   * Completes a new index: collects the statistics that its planner needs, and marks it as made by the keeper, where the
   * server can store a mark.
   * @returns its identity and size, where known
   */
  claim(target: string, name: string, mark: string): Promise<Pick<LedgerEntry, "oid" | "baseline">>;
  /** Creates an empty collection; rejects for tables, which belong to migrations. */
  createTarget(target: string): Promise<void>;
  /** Drops an empty collection. @returns why it was not dropped */
  dropTarget(target: string): Promise<string | undefined>;
  recovery(error: unknown): Promise<Recovery>;
}

/** Replaces an index by a declared one. The old index serves until the new one is in its place. */
export interface Replacement {
  /** Why the declared index cannot replace `found`, and what to do instead; undefined if it can. */
  obstacle(target: string, name: string, found: ActualIndex): string | undefined;
  /** Replaces `found`. An earlier process may have done some of the steps. */
  perform(target: string, name: string, found: ActualIndex): Promise<void>;
  /** Finishes a replacement that was interrupted after the new index took its place. @returns whether there was one */
  finish(target: string, name: string): Promise<boolean>;
  /** Drops the new index of a replacement that will not be finished. @returns whether there was one */
  abandon(target: string, name: string): Promise<boolean>;
  /** The ledger's text of a replaced index, for a person; absent where that text can be read as it is. */
  describe?(previous: string): string;
  /** Brings back the replaced index. @param made the index that replaced it @returns why it was not done */
  restore(entry: LedgerEntry, made: ActualIndex): Promise<string | undefined>;
}

/** The server's figures about its indexes. */
export interface Statistics {
  /** The name of the database: two databases may have a target of the same name. */
  database(): Promise<string>;
  /** @param at ISO 8601, the time of the look */
  figures(target: string, at: string): Promise<TargetFigures>;
  /** By target: when maintenance rebuilt an index; its reads of the whole target are no query's scans. */
  rebuilds(): Promise<ReadonlyMap<string, readonly BuildWindow[]>>;
}

/** Gives unused space back, under the keeper's lock. */
export interface Maintenance {
  /** Names of the indexes that an interrupted maintenance left. */
  leftovers(target: string): Promise<readonly string[]>;
  /** Drops these leftovers. */
  clear(target: string, leftovers: readonly string[]): Promise<void>;
  perform(task: MaintenanceTask): Promise<MaintenanceResult>;
}

export interface MaintenanceTask {
  readonly target: string;
  /** absent for a whole collection */
  readonly name?: string;
  /** the index's id in the figures: another id means another index under the same name */
  readonly id?: string;
  readonly why: string;
}

export interface MaintenanceResult {
  readonly state: "done" | "failed" | "left";
  /** where it differs from the planned action */
  readonly action?: "none" | "refused";
  readonly why?: string;
  readonly bytesBefore?: number;
  readonly bytesAfter?: number;
  readonly ms?: number;
}

/** Constant properties of an engine. */
export interface EngineFacts {
  /** what its indexes belong to */
  readonly target: "collection" | "table";
  /** default limit on the size of the indexes, in percent of the data */
  readonly sizePct: number;
  /** The planner uses statistics that ANALYZE collects. */
  readonly isAnalyzed: boolean;
  /** Scan counters that were never reset count from the creation of the index. */
  readonly countsFromCreation: boolean;
  /** how unused space is given back: index by index, or for a whole target */
  readonly maintenance: "reindex" | "compact";
}

/**
 * Do the contracts of an index hold? Resolves to the reason if not, to undefined if they do or it cannot be told yet.
 */
export type Proof = (target: string, name: string) => Promise<string | undefined>;

/** What every engine gets from the caller. */
export interface EngineOptions {
  readonly ignored?: readonly string[] | undefined;
  /** asked before the old index of a replacement is dropped; without it, a valid new index is enough */
  readonly prove?: Proof;
  readonly signal: AbortSignal;
  readonly maxBuildMs: number;
  readonly maxWaitMs: number;
  readonly onProgress: (line: string) => void;
}

/** Waits, or returns early when the signal fires. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
