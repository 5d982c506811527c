/**
 * What a manifest may say: the indexes a system wants, in both databases. It is TypeScript and not YAML so that the
 * compiler checks it, and keys are ordered tuples because objects reorder integer-like names and lose the order that an
 * index lives by.
 */
import type { CollationOptions } from "mongodb";

/** How commands, reports and metrics call the two kinds of database. */
export type EngineName = "mongodb" | "postgres";

export type MongoKey = readonly [field: string, kind: 1 | -1 | "text" | "hashed" | "2dsphere" | "2d"];

/** A column by name, or one with its options. `expr` is SQL, written without the outer parentheses. */
export type PostgresColumn =
  | string
  | ({
      readonly desc?: true;
      readonly nulls?: "first" | "last";
      readonly opclass?: string;
      readonly collate?: string;
    } & ({ readonly col: string; readonly expr?: never } | { readonly expr: string; readonly col?: never }));

interface Common {
  /** At most 63 bytes: PostgreSQL would cut a longer one silently, and two of them would become one. */
  readonly name: string;
  /** Indexes of a lower phase are built first; 1 unless told. */
  readonly phase?: 1 | 2 | 3;
  /** Without it the system's own work is wrong or hopeless, so the worker does not start. */
  readonly required?: true;
  readonly owner?: string;
  /** Which reader or job needs it, in a few words. */
  readonly why: string;
  /** Where it differs from what a source document asks for: what differs, and why. */
  readonly note?: string;
  /** Somebody else's, such as a migration's: checked here, never created, replaced or dropped. */
  readonly checked?: true;
  /** The keeper may build a new one beside a differing one and then drop that. */
  readonly replace?: true;
  readonly contracts?: readonly Contract[];
  readonly limits?: Partial<Limits>;
  readonly rolling?: Rolling;
}

export interface MongoIndex extends Common {
  readonly keys: readonly MongoKey[];
  readonly unique?: true;
  readonly sparse?: true;
  readonly partial?: Readonly<Record<string, unknown>>;
  readonly expireAfterSeconds?: number;
  readonly collation?: CollationOptions;
  readonly hidden?: true;
  readonly weights?: Readonly<Record<string, number>>;
  readonly defaultLanguage?: string;
  readonly languageOverride?: string;
  readonly wildcardProjection?: Readonly<Record<string, 0 | 1>>;
}

export interface PostgresIndex extends Common {
  readonly columns: readonly PostgresColumn[];
  /** btree unless told. */
  readonly method?: "btree" | "gin" | "gist" | "brin" | "hash";
  readonly unique?: true;
  readonly nullsNotDistinct?: true;
  readonly include?: readonly string[];
  /** The predicate of a partial index, as SQL without WHERE. */
  readonly where?: string;
  readonly with?: Readonly<Record<string, string | number>>;
  /** The index of a constraint belongs to a migration: it is checked here, never created. */
  readonly constraint?: "primary" | "unique";
}

/**
 * A partial index over a moving window with a literal bound, since no database allows one that moves with the clock: the
 * next is built and verified before the last is dropped.
 */
export interface Rolling {
  /** A date, timestamp or timestamptz. */
  readonly column: string;
  /** How far back the window reaches at least: "1 month", "90 days". */
  readonly keep: string;
  readonly rotate: "daily" | "weekly" | "monthly";
}

/**
 * A value of a contract's query: a literal, or what a field or column holds in one document or row drawn from the live
 * data, moved by `shift` ("-15d", "+2h", of a time or date). All samples of one contract come from the same document.
 */
export type Param = SampledParam | string | number | boolean | null | readonly Param[];

export interface SampledParam {
  /** A field, with dots into documents; in PostgreSQL a column, or an expression over the row's columns. */
  readonly sample: string;
  readonly shift?: string;
}

/**
 * A query that an index exists for. In MongoDB queries a string `"$p:name"` stands for the parameter `name`, in SQL `$1`
 * stands for the first; MongoDB's are sampled from the field that they are compared with unless `params` says more.
 *
 * `uses`: the plan names the index; `could`: it does once sequential scans are off, since the table is small by nature;
 * `cannot`: a query of the source document that no index serves, kept so that `verify` tells why (`because`).
 */
export interface Contract {
  readonly name: string;
  readonly mode?: "uses" | "could" | "cannot";
  /** Other indexes that may serve it as well; its own always may. */
  readonly orUses?: readonly string[];
  /** For `cannot`: the reason, and what to write instead. */
  readonly because?: string;
  readonly maxExaminedPerReturned?: number;
  /** Answered from the index alone. */
  readonly covered?: true;
  /** No blocking sort. */
  readonly noSort?: true;
  /** The time that the document promises. */
  readonly maxMs?: number;
  /** The time that it tells for a database without the index, or the factor that it promises: printed beside measured ones. */
  readonly promised?: { readonly withoutMs?: number; readonly factor?: number };
  readonly find?: {
    readonly filter: Readonly<Record<string, unknown>>;
    readonly sort?: Readonly<Record<string, 1 | -1>>;
    readonly projection?: Readonly<Record<string, unknown>>;
    readonly limit?: number;
  };
  readonly count?: Readonly<Record<string, unknown>>;
  readonly aggregate?: readonly Readonly<Record<string, unknown>>[];
  readonly collation?: CollationOptions;
  /** One statement that reads. */
  readonly sql?: string;
  readonly params?: readonly Param[] | Readonly<Record<string, Param>>;
}

/** Thresholds of an index or a table: shares are 0..1, sizes are percent of the table. */
export interface Limits {
  readonly hitWarn: number;
  readonly hitCrit: number;
  readonly scanShare: number;
  readonly sizePct: number;
  readonly maxIndexes: number;
  readonly unusedDays: number;
}

export interface Defaults {
  /** How long to poll for the database's index lock. */
  readonly lockWaitMs: number;
  /** A build longer than this is cancelled. */
  readonly maxBuildMs: number;
  /** A build that waits this long for other sessions' locks or transactions is cancelled. */
  readonly maxWaitMs: number;
  readonly limits: Limits;
}

/** Ten minutes, six hours, half an hour: longer than a healthy build of a large table, shorter than a night. */
export const DEFAULTS: Defaults = {
  lockWaitMs: 600_000,
  maxBuildMs: 6 * 3_600_000,
  maxWaitMs: 1_800_000,
  limits: { hitWarn: 0.95, hitCrit: 0.9, scanShare: 0.01, sizePct: 20, maxIndexes: 10, unusedDays: 30 },
};

export interface Manifest {
  readonly version: 1;
  readonly project: string;
  readonly defaults?: Partial<Defaults>;
  /** Collections that do not exist are created with their indexes; without it a name with a typo is an error. */
  readonly createCollections?: true;
  /** Queries of the source that belong to no index, by collection or `schema.table`. */
  readonly queries?: Readonly<Record<string, readonly Contract[]>>;
  /** By collection. */
  readonly mongo?: Readonly<Record<string, readonly MongoIndex[]>>;
  /** By `schema.table`. */
  readonly postgres?: Readonly<Record<string, readonly PostgresIndex[]>>;
  /** Names of undeclared indexes that are not to be reported as extra. */
  readonly ignore?: { readonly mongo?: readonly string[]; readonly postgres?: readonly string[] };
}
