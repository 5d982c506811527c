/** What a verb needs of a database: to see its indexes in their normal form, and to change one at a time. */
import { setTimeout as sleep } from "node:timers/promises";
import type { ActualIndex, DeclaredShape, Rules } from "./plan.ts";

export type EngineName = "mongodb" | "postgres";

export interface Observation {
  /** Why nothing can be done here, such as a table that does not exist; the other fields are empty then. */
  readonly unusable?: string;
  readonly actual: readonly ActualIndex[];
  /** By declared name; an error is the server's own refusal of the definition. */
  readonly declared: ReadonlyMap<string, DeclaredShape | Error>;
  readonly rules: Rules;
  /** Somebody builds an index here at this moment, perhaps one not in the catalog yet. */
  readonly busy: boolean;
}

/**
 * `fail`: the same again would fail the same way. `again`: the world has changed, look at it. `retry`: look again after
 * a pause; what was left behind is seen then.
 */
export type Verdict = "fail" | "again" | "retry";

export interface Engine {
  readonly name: EngineName;
  /** Collections or `schema.table`s with their declared indexes. */
  readonly targets: ReadonlyMap<string, readonly { readonly name: string; readonly phase?: number }[]>;
  observe(target: string): Promise<Observation>;
  /** Why this build is not to be started although it could be; undefined if it may. */
  refusal(target: string): Promise<string | undefined>;
  create(target: string, name: string): Promise<void>;
  /** Returns when no build is running on the target, by whomever. */
  waitForBuild(target: string, name: string): Promise<void>;
  /** Drops an invalid leftover; after a cancellation it gives up soon and leaves that to the next run. */
  dropInvalid(target: string, name: string): Promise<void>;
  judge(error: unknown): Promise<Verdict>;
}

/** What both engines get from the caller. */
export interface EngineOptions {
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
