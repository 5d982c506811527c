/**
 * What a verb needs of a database: to see its indexes in their normal form, and to change one at a time. A new engine is
 * an implementation of this interface; its tests are a harness for test/integration/indexes/engine-conformance.ts.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { ActualIndex, Observation } from "../decision/observation.ts";
import type { Ledger, LedgerEntry } from "../ledger/ledger.ts";
import type { EngineName } from "../manifest/manifest.ts";
import type { BuildWindow, TargetFigures } from "./figures.ts";

/**
 * `fail`: the same again would fail the same way. `again`: the world has changed, look at it. `retry`: look again after
 * a pause; what was left behind is seen then.
 */
export type Recovery = "fail" | "again" | "retry";

/** An index of a manifest, as far as every engine has it. */
export interface DeclaredIndex {
  readonly name: string;
  readonly phase?: number;
  readonly required?: true;
  readonly checked?: true;
  readonly replace?: true;
  readonly constraint?: string;
}

export interface Engine {
  readonly name: EngineName;
  /** Collections or `schema.table`s with their declared indexes. */
  readonly targets: ReadonlyMap<string, readonly DeclaredIndex[]>;
  /** Undeclared indexes that are not to be reported. */
  readonly ignored: ReadonlySet<string>;
  readonly ledger: Ledger;
  readonly replacement: Replacement;
  readonly statistics: Statistics;
  readonly maintenance: Maintenance;
  observe(target: string): Promise<Observation>;
  /** Why this build is not to be started although it could be; undefined if it may. @param found what is to be replaced */
  refusal(target: string, name: string, found?: ActualIndex): Promise<string | undefined>;
  /** Values that a unique index would refuse, for a person; undefined where there are none or it is not unique. */
  duplicates(target: string, name: string): Promise<string | undefined>;
  /** The statement or command that builds the index, word for word. */
  definition(target: string, name: string): string;
  /** The statement that drops what a failed build leaves; undefined where it leaves nothing. */
  removal(target: string, name: string): string | undefined;
  create(target: string, name: string): Promise<void>;
  /** Returns when no build is running on the target, by whomever. */
  waitForBuild(target: string, name: string): Promise<void>;
  /** Drops an invalid leftover; after a cancellation it gives up soon and leaves that to the next run. */
  dropInvalid(target: string, name: string): Promise<void>;
  /** Drops an index, online; one that is not there is dropped already. */
  drop(target: string, name: string): Promise<void>;
  /** Marks an index as made by the keeper, where the server has a place for that; tells its identity and its size. */
  claim(target: string, name: string, mark: string): Promise<Pick<LedgerEntry, "oid" | "baseline">>;
  /** Collections only: tables belong to migrations. */
  createTarget(target: string): Promise<void>;
  /** Drops a collection that holds nothing. @returns why it was not dropped */
  dropTarget(target: string): Promise<string | undefined>;
  recovery(error: unknown): Promise<Recovery>;
}

/** How a declared index takes the place of another one, which goes on serving until the new one is there. */
export interface Replacement {
  /** Why the declared index cannot take the place of this one, with what to do instead; undefined if it can. */
  obstacle(target: string, name: string, found: ActualIndex): string | undefined;
  /** Replaces the index that has the declared name; an earlier process may have done some of the steps. */
  perform(target: string, name: string, found: ActualIndex): Promise<void>;
  /** Finishes one that was interrupted after the new index took its place. @returns whether there was one */
  finish(target: string, name: string): Promise<boolean>;
  /** Drops what one was building that will not go on. @returns whether there was something */
  abandon(target: string, name: string): Promise<boolean>;
  /** Brings back what one took away. @param made the index that took the place @returns why it was not done */
  restore(entry: LedgerEntry, made: ActualIndex): Promise<string | undefined>;
}

/** What the server says of its indexes in numbers. */
export interface Statistics {
  /** The database whose figures these are: two may have a target of the same name. */
  database(): Promise<string>;
  /** @param at ISO 8601, the time of the look */
  figures(target: string, at: string): Promise<TargetFigures>;
  /** By target: when maintenance read it whole, which is no query's scan. */
  rebuilds(): Promise<ReadonlyMap<string, readonly BuildWindow[]>>;
}

/** Getting unused space back, under the keeper's lock. */
export interface Maintenance {
  /** Names of what an interrupted maintenance left. */
  leftovers(target: string): Promise<readonly string[]>;
  /** Drops them. */
  clear(target: string, leftovers: readonly string[]): Promise<void>;
  perform(task: MaintenanceTask): Promise<MaintenanceResult>;
}

export interface MaintenanceTask {
  readonly target: string;
  /** absent for a whole collection */
  readonly name?: string;
  /** of the index, as the figures have it: another one is another index by now */
  readonly id?: string;
  readonly why: string;
}

export interface MaintenanceResult {
  readonly state: "done" | "failed" | "left";
  /** where it is another one than was planned */
  readonly action?: "none" | "refused";
  readonly why?: string;
  readonly bytesBefore?: number;
  readonly bytesAfter?: number;
  readonly ms?: number;
}

/** What is always so of an engine. */
export interface EngineFacts {
  /** what holds its indexes */
  readonly target: "collection" | "table";
  /** size of the indexes in percent of the data, from which it is too much unless a manifest says otherwise */
  readonly sizePct: number;
  /** The planner goes by statistics that ANALYZE collects. */
  readonly isAnalyzed: boolean;
  /** Counters that were never reset are as old as the index. */
  readonly countsFromCreation: boolean;
  /** how unused space comes back: index by index, or of a whole target */
  readonly maintenance: "reindex" | "compact";
}

/** Does an index serve what it is there for? Answers why not; undefined where it does, or nothing can be told yet. */
export type Proof = (target: string, name: string) => Promise<string | undefined>;

/** What both engines get from the caller. */
export interface EngineOptions {
  readonly ignored?: readonly string[] | undefined;
  /** asked before an index goes whose work another one took over; without it being valid is enough */
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
