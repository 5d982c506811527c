/** What was seen of one table or collection: everything that a decision about its indexes is based on. */
import type { NormalForm } from "./normal-form.ts";

export interface Observation {
  /** Why nothing can be done here, for example because the table does not exist; then the other fields are empty. */
  readonly unusable?: string;
  /** The table has partitions, whose indexes are built one by one. */
  readonly isPartitioned?: boolean;
  /** The table or collection does not exist. */
  readonly isMissing?: boolean;
  readonly actual: readonly ActualIndex[];
  /** By declared name; an error is the server's refusal of the definition. */
  readonly declared: ReadonlyMap<string, DeclaredForm | Error>;
  readonly rules: Rules;
  /** By declared name: indexes that do not exist yet, for which partitions have been built already. */
  readonly begun?: ReadonlyMap<string, Parts>;
  /** A session is building an index here right now, perhaps one that is not in the catalog yet. */
  readonly busy: boolean;
}

/** How many partitions of a partitioned table have an index of their own for it, and how many there are. */
export interface Parts {
  readonly done: number;
  readonly of: number;
}

export interface DeclaredForm {
  readonly name: string;
  readonly form: NormalForm;
  readonly constraint?: "primary" | "unique";
}

export interface ActualIndex {
  readonly name: string;
  readonly form: NormalForm;
  /** Its own normal form, where `form` has the predicate in the words of an equivalent declared index. */
  readonly ownForm?: NormalForm;
  /** False for the leftover of an interrupted build or drop: every write pays for it and no read uses it. */
  readonly valid: boolean;
  /** Of a partitioned table. If it is not valid, its partitions are built on from where an earlier run ended. */
  readonly parts?: Parts;
  /** A session is building it right now; dropping it would kill that build. */
  readonly building: boolean;
  /** Its name ends like those that REINDEX CONCURRENTLY uses while it rebuilds, and leaves behind if it fails. */
  readonly isRebuild?: true;
  readonly constraint?: "primary" | "unique";
  /** Absent for kinds without an order (GIN, text, hashed, geographic). */
  readonly order?: KeyOrder;
  /** What it does besides serving reads. An index with a duty is never called redundant. */
  readonly guards?: Duty;
  /** The definition, and what hangs on the index besides it, in the engine's own text: enough to bring it back. */
  readonly definition?: string;
  /** The keeper's mark on an index it made, where the server can store one. */
  readonly mark?: string;
  /** PostgreSQL's identity of the index. */
  readonly oid?: number;
}

/** What an index does besides serving reads. */
export type Duty =
  "primary key" | "constraint" | "foreign key" | "replica identity" | "clustering" | "unique" | "hidden" | "TTL";

/** The order of an index's entries, as texts: equal texts mean an equal order. */
export interface KeyOrder {
  /** each key with its direction (and operator class and collation, where each key has its own) */
  readonly keys: readonly string[];
  /** the same read backwards */
  readonly opposite: readonly string[];
  /** the keys without direction */
  readonly columns: readonly string[];
  readonly include: readonly string[];
  /** "" where it holds every row or document, else its predicate. */
  readonly holds: string;
  /** One collation for the whole index, not one a key (MongoDB). */
  readonly collatesAsOne: boolean;
}

/** Rules for comparing two indexes, which differ between servers. */
export interface Rules {
  /** The server refuses a second index that is equal in these parts, whatever the others (MongoDB's error 85). */
  readonly identity?: readonly string[];
  /** Why the server refuses such a second index, where newer versions do not; for a person. */
  readonly limit?: string;
  /** Parts that can be changed without a rebuild. */
  readonly attributes?: ReadonlySet<string>;
  /** Declared names that another relation of the schema has already, with a description of that relation. */
  readonly taken?: ReadonlyMap<string, string>;
  /**
   * Is this the name of a later version of the declared index? MongoDB cannot rename, so a replacement has a new name.
   */
  readonly isVersion?: (name: string, declared: string) => boolean;
}
