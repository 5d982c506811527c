/** What `verify` needs of a database: to check on the live data whether a query uses an index. Changes nothing. */
import type { Judgement } from "../contract/verdict.ts";
import type { Contract } from "../manifest/manifest.ts";

/** Names in the database of the indexes that may serve a contract. */
export interface ServingNames {
  /** undefined for a query that belongs to no index */
  readonly own: string | undefined;
  readonly accepted: readonly string[];
}

/** Connects on first use. */
export interface Verifier {
  /** Names of all indexes of a target; empty if there is no such target. */
  indexNames(target: string): Promise<readonly string[]>;
  /** A query that the server refuses gets a judgement, not an error. @throws UnreachableError */
  verify(target: string, contract: Contract, names: ServingNames): Promise<Judgement>;
  close(): Promise<void>;
}
