/** Samples as a server might give them. */
import type { IndexFigures, Sample } from "../../../../src/indexes/engines/figures.ts";

const NOON = Date.parse("2026-11-21T12:00:00.000Z");

/** ISO 8601: so many hours before the newest sample. */
export function hoursAgo(hours: number): string {
  return new Date(NOON - hours * 3_600_000).toISOString();
}

export const daysAgo = (days: number) => hoursAgo(24 * days);

/** A plain B-tree of 20 MB with a million entries, of which nothing was read. */
export function index(name: string, more: Partial<IndexFigures> = {}): IndexFigures {
  return {
    name,
    id: "1",
    method: "btree",
    state: "ready",
    bytes: 20 * 1024 ** 2,
    entries: 1_000_000,
    scans: 0,
    entriesRead: 0,
    since: null,
    lastScan: null,
    cache: { hits: 0, reads: 0 },
    guards: [],
    ...more,
  };
}

/** A table of a gigabyte with a million rows. */
export function sample(at: string, indexes: readonly IndexFigures[], more: Partial<Sample> = {}): Sample {
  return {
    at,
    engine: "postgres",
    target: "public.orders",
    rows: 1_000_000,
    dataBytes: 1024 ** 3,
    indexBytes: indexes.reduce((sum, { bytes }) => sum + bytes, 0),
    scans: { full: 0, index: 0 },
    epoch: "",
    since: null,
    lastAnalyze: at,
    slow: null,
    node: "10.0.0.1:5432",
    otherNodes: 0,
    indexes,
    unknown: [],
    ...more,
  };
}
