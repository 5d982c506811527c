/**
 * The type of a manifest, which declares the indexes of a system in both databases. Tallyman's own are TypeScript, so
 * that the compiler checks them. Keys are tuples: the order of an index's keys matters, and objects reorder
 * integer-like names.
 */
import type { CollationOptions } from "mongodb";

/** The names of the engines in commands, reports and metrics. */
export type EngineName = "mongodb" | "postgres";

export type MongoKey = readonly [field: string, kind: 1 | -1 | "text" | "hashed" | "2dsphere" | "2d"];

/** A column by name, or a column or expression with options. `expr` is SQL without the outer parentheses. */
export type PostgresColumn =
  | string
  | ({
      readonly desc?: boolean;
      readonly nulls?: "first" | "last";
      readonly opclass?: string;
      readonly collate?: string;
    } & ({ readonly col: string; readonly expr?: never } | { readonly expr: string; readonly col?: never }));

interface Common {
  /** At most 63 bytes in PostgreSQL, which silently cuts a longer name and so may make two names equal. */
  readonly name: string;
  /** Indexes of a lower phase are built first; default 1. */
  readonly phase?: 1 | 2 | 3;
  /** A rebuild needs it: without it the worker does not start and rebuilds are refused. */
  readonly required?: boolean;
  readonly owner?: string;
  /** Which reader or job needs it, in a few words. */
  readonly why: string;
  /** What differs from the source document, and why. */
  readonly note?: string;
  /** Belongs to somebody else, such as a migration: only checked, never created, replaced or dropped. */
  readonly checked?: boolean;
  /** The keeper may replace an index of this name that has another definition. */
  readonly replace?: boolean;
  readonly contracts?: readonly Contract[];
  readonly limits?: Partial<Limits>;
  readonly rolling?: Rolling;
}

export interface MongoIndex extends Common {
  readonly keys: readonly MongoKey[];
  readonly unique?: boolean;
  readonly sparse?: boolean;
  readonly partial?: Readonly<Record<string, unknown>>;
  readonly expireAfterSeconds?: number;
  readonly collation?: CollationOptions;
  readonly hidden?: boolean;
  readonly weights?: Readonly<Record<string, number>>;
  readonly defaultLanguage?: string;
  readonly languageOverride?: string;
  readonly wildcardProjection?: Readonly<Record<string, 0 | 1>>;
  /** Of a `2d` index: precision of a coordinate, 1 to 32; the server's default is 26. */
  readonly bits?: number;
  /** Of a `2d` index: the lowest and the highest coordinate; the server's defaults are -180 and 180. */
  readonly min?: number;
  readonly max?: number;
}

export interface PostgresIndex extends Common {
  readonly columns: readonly PostgresColumn[];
  /** An access method of the server, also one of an extension (`hnsw`, `bloom`). Default btree. */
  readonly method?: string;
  readonly unique?: boolean;
  readonly nullsNotDistinct?: boolean;
  readonly include?: readonly string[];
  /** The predicate of a partial index, as SQL without WHERE. */
  readonly where?: string;
  readonly with?: Readonly<Record<string, string | number>>;
  /** The index of a constraint, which belongs to a migration: only checked, never created. */
  readonly constraint?: "primary" | "unique";
}

/**
 * A partial index over a moving window. No database allows a bound that moves with the clock, so each period has an
 * index with a literal bound; the next window is built and verified before the last is dropped.
 */
export interface Rolling {
  /** A date, timestamp or timestamptz. */
  readonly column: string;
  /** How far back the window reaches at the least: "1 month", "90 days". */
  readonly keep: string;
  readonly rotate: "daily" | "weekly" | "monthly";
}

/**
 * A value for a contract's query: a literal, or the value of a field or column in a document or row drawn from the live
 * data, moved by `shift` ("-15d", "+2h", for times and dates). All samples of one contract come from one document or
 * row.
 */
export type Param = SampledParam | string | number | boolean | null | readonly Param[];

export interface SampledParam {
  /** A field path with dots; in PostgreSQL a column, or an expression over the row's columns. */
  readonly sample: string;
  readonly shift?: string;
}

/**
 * A query that an index exists for. In MongoDB queries a string `"$p:name"` is the parameter `name`, in SQL `$1` is the
 * first. MongoDB's parameters are sampled from the field that they are compared with, unless `params` says otherwise.
 *
 * `uses`: the plan uses the index. `could`: the table is small by nature, so the plan must use the index only with
 * sequential scans off. `cannot`: a query of the source document that no index serves; `verify` prints why (`because`).
 */
export interface Contract {
  readonly name: string;
  readonly mode?: "uses" | "could" | "cannot";
  /** Other indexes that may serve the query as well; its own always may. */
  readonly orUses?: readonly string[];
  /** For `cannot`: the reason, and what to write instead. */
  readonly because?: string;
  readonly maxExaminedPerReturned?: number;
  /** Answered from the index alone. */
  readonly covered?: boolean;
  /** No blocking sort. */
  readonly noSort?: boolean;
  /** The time that the source document promises. */
  readonly maxMs?: number;
  /** The document's time without the index, or its promised factor; printed beside the measured ones. */
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
  /** A single statement that only reads. */
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
  /** How long to wait for the keeper's lock. */
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
  /** Create collections that do not exist; without it a collection that does not exist is an error, such as a typo. */
  readonly createCollections?: boolean;
  /** Queries of the source that belong to no index, by collection or `schema.table`. */
  readonly queries?: Readonly<Record<string, readonly Contract[]>>;
  /** By collection. */
  readonly mongo?: Readonly<Record<string, readonly MongoIndex[]>>;
  /** By `schema.table`. */
  readonly postgres?: Readonly<Record<string, readonly PostgresIndex[]>>;
  /** Names of undeclared indexes that are not reported as extra. */
  readonly ignore?: { readonly mongo?: readonly string[]; readonly postgres?: readonly string[] };
}
