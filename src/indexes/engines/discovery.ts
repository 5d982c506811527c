/** What a database has, as a manifest would declare it. */
import type { MongoIndex, PostgresIndex } from "../manifest/manifest.ts";

/** A declaration of the engine; only who needs the index is not known. */
export type FoundDeclaration = Omit<MongoIndex, "why"> | Omit<PostgresIndex, "why">;

export interface FoundIndex {
  readonly name: string;
  /** absent where no manifest can declare the index; then the first of `notes` says why */
  readonly declaration?: FoundDeclaration;
  /** the server's own text of the index */
  readonly definition: string;
  /** what somebody wrote about it in the database */
  readonly about?: string;
  /** what a declaration does not say: the constraint that owns it, its tablespace */
  readonly notes: readonly string[];
}

export interface FoundTarget {
  readonly indexes: readonly FoundIndex[];
  /** about the whole collection or table */
  readonly notes: readonly string[];
}

/** Reads what a database has, in any place, declared or not. Changes nothing. */
export interface Discovery {
  /**
   * Collections, or tables with an index as `schema.table`, sorted. Without those of the server, of extensions and of the
   * keeper. @param schema one of PostgreSQL's
   */
  targets(schema?: string): Promise<readonly string[]>;
  /** Without the index on `_id`, which every collection has. */
  read(target: string): Promise<FoundTarget>;
}
