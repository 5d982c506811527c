/**
 * What a server says of the indexes of one table or collection at one time. Counters are as the server keeps them, that
 * is since it last began to count; what a server does not tell is null and named in `unknown`, never zero.
 */
import type { EngineName } from "../manifest/manifest.ts";

/** What an index does beside being read, so that it is never called unused or in the way. */
export type Guard =
  | "_id"
  | "primary key"
  | "unique"
  | "exclusion constraint"
  | "foreign key"
  | "replica identity"
  | "clustered"
  | "ttl"
  | "hidden"
  | "shard key";

export interface IndexFigures {
  readonly name: string;
  /** another one is another index under the same name; empty where the server has none */
  readonly id: string;
  /** btree, gin, ...; empty on MongoDB */
  readonly method: string;
  readonly state: "ready" | "building" | "invalid";
  readonly bytes: number;
  /** entries, as last counted */
  readonly entries: number | null;
  readonly scans: number | null;
  /** entries that its scans have read */
  readonly entriesRead: number | null;
  /** ISO 8601: since when `scans` counts, where the server counts each index for itself */
  readonly since: string | null;
  /** ISO 8601, PostgreSQL 16 and newer */
  readonly lastScan: string | null;
  /** pages of it that were found in the cache, and that had to be read */
  readonly cache: { readonly hits: number; readonly reads: number } | null;
  readonly guards: readonly Guard[];
}

/** A statement that is slow on average. It holds no value: statements are normalised, and plans are named only. */
export interface SlowQuery {
  readonly query: string;
  readonly calls: number;
  readonly meanMs: number;
  readonly maxMs: number;
}

export interface TargetFigures {
  readonly engine: EngineName;
  /** a collection, or `schema.table` */
  readonly target: string;
  /** why there are no figures, such as a table that does not exist; the others are empty then */
  readonly unusable?: string;
  readonly rows: number;
  /** on disk without indexes: `pg_table_size` with TOAST, `storageSize` */
  readonly dataBytes: number;
  readonly indexBytes: number;
  /**
   * whole scans of the table or collection, and scans of its indexes; PostgreSQL counts a parallel one once for each of
   * its processes
   */
  readonly scans: { readonly full: number; readonly index: number } | null;
  /** another value means that the server began to count anew */
  readonly epoch: string;
  /** ISO 8601: when that was, where the server says so */
  readonly since: string | null;
  /** ISO 8601, PostgreSQL: the newest ANALYZE, by hand or by autovacuum */
  readonly lastAnalyze: string | null;
  /** null where nothing records them */
  readonly slow: readonly SlowQuery[] | null;
  /** whose counters these are: scans on other nodes are not among them */
  readonly node: string;
  /** nodes that serve reads whose scans are not counted here */
  readonly otherNodes: number;
  readonly indexes: readonly IndexFigures[];
  /** figures that this server does not give, each with the reason */
  readonly unknown: readonly string[];
}

/** When an index of the target was built: a build reads the whole table, which is no query's scan. */
export interface BuildWindow {
  readonly from: string;
  /** null while it goes on, or where nobody knows */
  readonly to: string | null;
}

/** Figures with the time they were read at, by the clock of PostgreSQL, ISO 8601. */
export interface Sample extends TargetFigures {
  readonly at: string;
}

/** Slower than this on average is slow, as the source documents have it for reads that an index serves. */
export const SLOW_MS = 100;
/** So many slow statements are told of. */
export const SLOW_SHOWN = 5;

/** Of a target that cannot be looked at. */
export function withoutFigures(engine: EngineName, target: string, unusable: string): TargetFigures {
  return {
    engine,
    target,
    unusable,
    rows: 0,
    dataBytes: 0,
    indexBytes: 0,
    scans: null,
    epoch: "",
    since: null,
    lastAnalyze: null,
    slow: null,
    node: "",
    otherNodes: 0,
    indexes: [],
    unknown: [],
  };
}
