/** What a look at one table or collection shows: everything that a decision about its indexes is made from. */
import type { NormalForm } from "./normal-form.ts";

export interface Observation {
  /** Why nothing can be done here, such as a table that does not exist; the other fields are empty then. */
  readonly unusable?: string;
  /** There is no such table or collection. */
  readonly isMissing?: boolean;
  readonly actual: readonly ActualIndex[];
  /** By declared name; an error is the server's own refusal of the definition. */
  readonly declared: ReadonlyMap<string, DeclaredForm | Error>;
  readonly rules: Rules;
  /** Somebody builds an index here at this moment, perhaps one not in the catalog yet. */
  readonly busy: boolean;
}

export interface DeclaredForm {
  readonly name: string;
  readonly form: NormalForm;
  readonly constraint?: "primary" | "unique";
}

export interface ActualIndex {
  readonly name: string;
  readonly form: NormalForm;
  /** Its form in its own words, where `form` has those of a declared one that says the same. */
  readonly ownForm?: NormalForm;
  /** False for what an interrupted build or drop left behind: it costs writes and serves no read. */
  readonly valid: boolean;
  /** Some session builds it at this moment; dropping it would kill that build. */
  readonly building: boolean;
  /** Its name is that of a REINDEX: the server uses such names while it rebuilds an index, and leaves them if that fails. */
  readonly isRebuild?: true;
  readonly constraint?: "primary" | "unique";
  /** How it is ordered; absent for kinds without an order (GIN, text, hashed, geographic). */
  readonly order?: KeyOrder;
  /** What it does besides being read. Such an index is never called superfluous. */
  readonly guards?: Duty;
  /** Enough to make it again, in the engine's own words. */
  readonly definition?: string;
  /** What the keeper wrote at an index it made, where the server has a place for that. */
  readonly mark?: string;
  /** PostgreSQL's identity of it. */
  readonly oid?: number;
}

/** What an index does besides being read. */
export type Duty =
  "primary key" | "constraint" | "foreign key" | "replica identity" | "clustering" | "unique" | "hidden" | "TTL";

/** The order of an index's entries, as texts that are equal when the order is. */
export interface KeyOrder {
  /** a key with its direction (and operator class, collation where each key has its own) */
  readonly keys: readonly string[];
  /** the same read backwards */
  readonly opposite: readonly string[];
  /** the keys without direction */
  readonly columns: readonly string[];
  readonly include: readonly string[];
  /** Which rows or documents it holds: "" for all, else its predicate. */
  readonly holds: string;
  /** The collation belongs to the index and not to a key (MongoDB). */
  readonly collatesAsOne: boolean;
}

/** What differs between servers in what two indexes are to each other. */
export interface Rules {
  /** Parts that make two indexes the same one to the server, whatever their other parts (MongoDB's error 85). */
  readonly identity?: readonly string[];
  /** Parts that can be changed without a rebuild. */
  readonly attributes?: ReadonlySet<string>;
  /** Names in the same name space that belong to something that is no index of this table, with what it is. */
  readonly taken?: ReadonlyMap<string, string>;
  /** Is this the name that a later definition of the declared index was given, because no index can be renamed? */
  readonly isVersion?: (name: string, declared: string) => boolean;
}
