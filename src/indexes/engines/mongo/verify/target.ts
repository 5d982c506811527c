import type { CollationOptions, Db } from "mongodb";

/** A collection whose queries are verified. */
export interface MongoTarget {
  readonly db: Db;
  readonly name: string;
  /** FerretDB's explain only plans and counts nothing. */
  readonly isFerret: boolean;
  /** that the collection was made with; absent = simple */
  readonly collation?: CollationOptions | undefined;
  readonly limitMs: number;
}
