/**
 * What a manifest may say: the indexes a system wants, in both databases. It is TypeScript and not YAML so that the
 * compiler checks it, and keys are ordered tuples because objects reorder integer-like names and lose the order that an
 * index lives by. Only `ensure` reads manifests today; contracts, limits, rolling windows and `replace` are declared
 * already so that a manifest need not change when `verify`, `stats` and replacement arrive.
 */
import type { CollationOptions } from "mongodb";

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

/** A partial index over a moving window, built anew before the old one is dropped. */
export interface Rolling {
  readonly column: string;
  readonly keep: string;
  readonly rotate: "daily" | "weekly" | "monthly";
}

/**
 * A query the index exists for. Values written `"$p:name"` are filled from `params`.
 * `uses`: the plan must name the index; `could`: it must do so once sequential scans are off (small tables).
 */
export interface Contract {
  readonly name: string;
  readonly mode?: "uses" | "could";
  readonly maxExaminedPerReturned?: number;
  readonly covered?: true;
  readonly noSort?: true;
  readonly maxMs?: number;
  readonly find?: {
    readonly filter: object;
    readonly sort?: object;
    readonly projection?: object;
    readonly limit?: number;
  };
  readonly aggregate?: readonly object[];
  readonly collation?: CollationOptions;
  readonly sql?: string;
  readonly params?: readonly unknown[] | Readonly<Record<string, unknown>>;
  readonly fixtureRows?: number;
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
  /** By collection. */
  readonly mongo?: Readonly<Record<string, readonly MongoIndex[]>>;
  /** By `schema.table`. */
  readonly postgres?: Readonly<Record<string, readonly PostgresIndex[]>>;
  /** Names of undeclared indexes that are not to be reported as extra. */
  readonly ignore?: { readonly mongo?: readonly string[]; readonly postgres?: readonly string[] };
}
