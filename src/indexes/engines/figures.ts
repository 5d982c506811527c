/**
 * The server's figures about the indexes of one table or collection at one time. Counters are the server's own, counted
 * since its last reset. A figure that the server does not give is null and named in `unknown`, never zero.
 */
import type { EngineName } from "../manifest/manifest.ts";

/** What an index does besides serving reads, for which it is never called unused. */
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
  /** another id means another index under the same name; empty where the server has no ids */
  readonly id: string;
  /** btree, gin, ...; empty on MongoDB */
  readonly method: string;
  readonly state: "ready" | "building" | "invalid";
  readonly bytes: number;
  /** entries, as last counted */
  readonly entries: number | null;
  readonly scans: number | null;
  /** index entries read by its scans */
  readonly entriesRead: number | null;
  /** ISO 8601: since when `scans` counts, where each index has a counter start of its own */
  readonly since: string | null;
  /** ISO 8601, PostgreSQL 16 and newer */
  readonly lastScan: string | null;
  /** its pages that were found in the cache, and those that had to be read */
  readonly cache: { readonly hits: number; readonly reads: number } | null;
  readonly guards: readonly Guard[];
}

/**
 * A statement that is slow on average. It contains no values: SQL is normalised, of a MongoDB plan only the summary is
 * kept.
 */
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
  /** why there are no figures, for example because the table does not exist; then the other fields are empty */
  readonly unusable?: string;
  readonly rows: number;
  /** on disk without indexes: `pg_table_size` with TOAST, `storageSize` */
  readonly dataBytes: number;
  readonly indexBytes: number;
  /**
   * full scans of the table or collection, and scans of its indexes; PostgreSQL counts a parallel scan once for each of
   * its processes
   */
  readonly scans: { readonly full: number; readonly index: number } | null;
  /** another value means that the server reset its counters */
  readonly epoch: string;
  /** ISO 8601: the time of that reset, where the server gives it */
  readonly since: string | null;
  /** ISO 8601, PostgreSQL: the newest ANALYZE, by hand or by autovacuum */
  readonly lastAnalyze: string | null;
  /** null where the server does not record slow statements */
  readonly slow: readonly SlowQuery[] | null;
  /** the node whose counters these are; scans on other nodes are not counted */
  readonly node: string;
  /** number of other nodes that may serve reads, whose scans are not counted here */
  readonly otherNodes: number;
  readonly indexes: readonly IndexFigures[];
  /** figures that this server does not give, each with the reason */
  readonly unknown: readonly string[];
}

/** When an index of the target was built. A build reads the whole table, which is no query's scan. */
export interface BuildWindow {
  readonly from: string;
  /** null while the build runs, or where its end is not known */
  readonly to: string | null;
}

/** Figures and the time at which they were read, by the clock of PostgreSQL, ISO 8601. */
export interface Sample extends TargetFigures {
  readonly at: string;
}

/** Slower than this on average is slow, as the source documents have it for reads that an index serves. */
export const SLOW_MS = 100;
/** How many slow statements a report lists. */
export const SLOW_SHOWN = 5;

/** The figures of a target that does not exist or is no table or collection. */
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
