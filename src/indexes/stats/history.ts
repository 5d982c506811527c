/**
 * Computes rates from several samples: the growth of counters instead of their values. Pure. Samples come oldest first,
 * the last is from now. A pair of samples between which the server reset its counters or built an index is left out.
 */
import type { LedgerEntry } from "../ledger/ledger.ts";
import { FACTS } from "../engines/facts.ts";
import type { BuildWindow, IndexFigures, Sample } from "../engines/figures.ts";

/** Rates cover the last day, if there are samples from it: a day plus the delay of a job. */
const RECENT_MS = 25 * 3_600_000;
/** Longer than any build may take. A ledger entry with a longer window was written again later. */
const MAX_WINDOW_MS = 12 * 3_600_000;

/** A share, counted over an interval. */
export interface Rate {
  /** 0..1 */
  readonly value: number;
  /** ISO 8601: start of the interval, which ends at the newest sample */
  readonly from: string;
  /** the whole: number of pages, or of scans */
  readonly of: number;
  /** the part: pages found in the cache, or full scans */
  readonly part: number;
}

type Pair = readonly [earlier: Sample, later: Sample];

/** Did the server reset its counters between the two samples, as far as they show? */
export function beganAnew(earlier: Sample, later: Sample): boolean {
  if (earlier.epoch !== later.epoch) return true;
  if (fell(earlier.scans?.full, later.scans?.full)) return true;
  return later.indexes.some((index) => {
    const before = same(earlier, index);
    return before !== undefined && hasReset(before, index);
  });
}

/** The share of an index's pages found in the cache, over the last day. */
export function hitRate(samples: readonly Sample[], name: string): Rate | null {
  let [hits, reads] = [0, 0];
  const counted = recentPairs(samples).filter(([earlier, later]) => {
    const now = find(later, name);
    const before = now && same(earlier, now);
    if (!now?.cache || !before?.cache || earlier.epoch !== later.epoch || hasReset(before, now)) return false;
    if (fell(before.cache.hits, now.cache.hits) || fell(before.cache.reads, now.cache.reads)) return false;
    hits += now.cache.hits - before.cache.hits;
    reads += now.cache.reads - before.cache.reads;
    return true;
  });
  const from = counted[0]?.[0].at;
  if (from === undefined || hits + reads === 0) return null;
  return { value: hits / (hits + reads), from, of: hits + reads, part: hits };
}

/** The share of full scans among all scans, over the last day, without the times of index builds. */
export function fullScanShare(samples: readonly Sample[], builds: readonly BuildWindow[]): Rate | null {
  let [full, index] = [0, 0];
  const counted = recentPairs(samples).filter(([earlier, later]) => {
    if (!earlier.scans || !later.scans || builds.some((build) => overlaps(build, earlier.at, later.at))) return false;
    if (beganAnew(earlier, later)) return false;
    full += later.scans.full - earlier.scans.full;
    index += sum(later.indexes.map((now) => grownScans(find(earlier, now.name), now)));
    return true;
  });
  const from = counted[0]?.[0].at;
  if (from === undefined || full + index === 0) return null;
  return { value: full / (full + index), from, of: full + index, part: full };
}

/** Scans of an index between the last two samples; null where that is not known. */
export function newScans(samples: readonly Sample[], name: string): number | null {
  const [earlier, later] = samples.slice(-2);
  const now = later && find(later, name);
  const before = now && earlier && same(earlier, now);
  if (!before || earlier.epoch !== later.epoch || hasReset(before, now)) return null;
  return now.scans === null ? null : grownScans(before, now);
}

/**
 * Since when an index was not scanned: the time of the first sample with today's count, or of the server's counter
 * start if the count is still 0. Null where that is not known or the index was used between the last two samples.
 */
export function unusedSince(samples: readonly Sample[], name: string): string | null {
  const now = samples.at(-1);
  const index = now && find(now, name);
  if (!index || index.scans === null) return null;
  let since: string | null = null;
  for (const sample of samples.slice(0, -1).reverse()) {
    const before = same(sample, index);
    // Scans between a sample and a later reset of the counters are unknown.
    if (before?.scans !== index.scans || before.since !== index.since || sample.epoch !== now.epoch) break;
    since = sample.at;
  }
  const began = index.scans === 0 ? index.since : null;
  return [since, began].filter((time) => time !== null).sort()[0] ?? null;
}

/**
 * Since when no ANALYZE of the table is known, at most back to the last reset of the counters. Null if one is known.
 */
export function notAnalyzedSince(samples: readonly Sample[]): string | null {
  const now = samples.at(-1);
  if (!now || !FACTS[now.engine].isAnalyzed || now.lastAnalyze !== null) return null;
  const without = samples.filter(({ lastAnalyze, epoch }) => lastAnalyze === null && epoch === now.epoch);
  return without[0]?.at ?? null;
}

/** The least bytes per entry ever seen of this index, which a rebuild can reach again. */
export interface Baseline {
  readonly bytesPerEntry: number;
  readonly at: string;
  readonly of: "build" | "sample";
}

/** With fewer entries, bytes per entry say nothing about a large index. */
const MIN_BASELINE_ENTRIES = 10_000;

/** @param built the index's current ledger entry, if the keeper made it */
export function baselineOf(samples: readonly Sample[], name: string, built?: LedgerEntry): Baseline | null {
  const now = samples.at(-1);
  const index = now && find(now, name);
  if (!index) return null;
  const seen = samples.flatMap((sample): Baseline[] => {
    const before = same(sample, index);
    if (!before || before.entries === null || before.entries < MIN_BASELINE_ENTRIES) return [];
    return [{ bytesPerEntry: before.bytes / before.entries, at: sample.at, of: "sample" }];
  });
  const baseline = built?.baseline;
  const isSame = built?.oid === undefined || String(built.oid) === index.id;
  if (built && isSame && baseline && baseline.rows >= MIN_BASELINE_ENTRIES) {
    const at = built.finishedAt ?? built.startedAt;
    seen.unshift({ bytesPerEntry: baseline.bytes / baseline.rows, at, of: "build" });
  }
  return seen.reduce<Baseline | null>(
    (least, one) => (least && least.bytesPerEntry <= one.bytesPerEntry ? least : one),
    null,
  );
}

/** The windows in which the keeper built indexes of a target. */
export function buildWindows(entries: readonly LedgerEntry[], target: string): BuildWindow[] {
  return entries
    .filter((entry) => entry.target === target && (entry.intent === "create" || entry.intent === "replace"))
    .map(({ startedAt, finishedAt }) => ({ from: startedAt, to: finishedAt ?? null }))
    .filter(({ from, to }) => to === null || Date.parse(to) - Date.parse(from) <= MAX_WINDOW_MS);
}

/** Pairs of neighbouring samples from the last day; with only one sample from it, the pair of the last two. */
function recentPairs(samples: readonly Sample[]): Pair[] {
  const now = samples.at(-1);
  if (!now) return [];
  const recent = samples.filter(({ at }) => Date.parse(now.at) - Date.parse(at) <= RECENT_MS);
  const used = recent.length > 1 ? recent : samples.slice(-2);
  return used.slice(1).map((later, at): Pair => [used[at] as Sample, later]);
}

function overlaps({ from, to }: BuildWindow, begin: string, end: string): boolean {
  if (to === null && Date.parse(end) - Date.parse(from) > MAX_WINDOW_MS) return false; // given up long ago
  return Date.parse(from) <= Date.parse(end) && (to === null || Date.parse(to) >= Date.parse(begin));
}

/** For a new index all its scans count as growth; a rebuilt index keeps the count of the old one. */
function grownScans(before: IndexFigures | undefined, now: IndexFigures): number {
  return Math.max(0, (now.scans ?? 0) - (before?.scans ?? 0));
}

function hasReset(before: IndexFigures, now: IndexFigures): boolean {
  return before.since !== now.since || fell(before.scans, now.scans);
}

function find(sample: Sample, name: string): IndexFigures | undefined {
  return sample.indexes.find((index) => index.name === name);
}

/** The same index in another sample, not a different one of the same name. */
function same(sample: Sample, index: IndexFigures): IndexFigures | undefined {
  const found = find(sample, index.name);
  return found?.id === index.id ? found : undefined;
}

function fell(before: number | null | undefined, now: number | null | undefined): boolean {
  return typeof before === "number" && typeof now === "number" && now < before;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
