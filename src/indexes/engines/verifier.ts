/** What `verify` needs of a database: whether one query uses one index, on the live data. Nothing is changed. */
import type { Judgement } from "../contract/verdict.ts";
import type { Contract } from "../manifest/manifest.ts";

/** Names in a database that do the work of a contract's index. */
export interface ServingNames {
  /** undefined for a query that belongs to no index */
  readonly own: string | undefined;
  readonly accepted: readonly string[];
}

/** It connects when it is first asked. */
export interface Verifier {
  /** Names of all indexes of a target; empty if there is no such target. */
  indexNames(target: string): Promise<readonly string[]>;
  /** @throws UnreachableError; a query that the server refuses is a judgement */
  verify(target: string, contract: Contract, names: ServingNames): Promise<Judgement>;
  close(): Promise<void>;
}
