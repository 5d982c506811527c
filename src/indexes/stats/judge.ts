/** What is wrong with the indexes of a table or collection, by its figures and the limits of the manifest. Pure. */
import type { Limits } from "../manifest/manifest.ts";
import { FACTS } from "../engines/facts.ts";
import { formatBytes, formatCount, formatDay, formatShare } from "../format.ts";
import type { IndexFigures, TargetFigures } from "../engines/figures.ts";
import type { Baseline, Rate } from "./history.ts";

/** `warn`: look at it in office hours; `alert`: it costs reads or correctness now. */
export type Level = "warn" | "alert";

export type Kind =
  | "missing"
  | "invalid"
  | "different"
  | "build-failed"
  | "contract"
  | "size"
  | "too-many"
  | "hit-rate"
  | "full-scans"
  | "unused"
  | "redundant"
  | "bloat"
  | "slow-queries"
  | "not-analyzed";

export interface IndexVerdict {
  readonly level: Level;
  readonly kind: Kind;
  /** absent where it is about the whole table or collection */
  readonly index?: string;
  /** the figure, the limit, and what to do */
  readonly sentence: string;
}

/** What is judged of one index beside its figures. */
export interface IndexHistory {
  readonly figures: IndexFigures;
  readonly limits: Limits;
  /** has a size limit of its own, and is judged by that alone */
  readonly ownSize: boolean;
  readonly hit: Rate | null;
  readonly unusedSince: string | null;
  readonly baseline: Baseline | null;
}

export interface Judged {
  readonly figures: TargetFigures;
  /** ISO 8601 */
  readonly at: string;
  readonly limits: Limits;
  readonly indexes: readonly IndexHistory[];
  /** declared indexes that the server does not have, or has otherwise: then `detail` says how */
  readonly wanting: readonly { readonly name: string; readonly required: boolean; readonly detail?: string }[];
  readonly fullScans: Rate | null;
  /** ISO 8601: PostgreSQL */
  readonly notAnalyzedSince: string | null;
  /** of contracts that were verified, those that are not kept */
  readonly broken: readonly {
    readonly index: string | null;
    readonly contract: string;
    readonly why: readonly string[];
  }[];
  /** from the ledger, the newest entry about each index */
  readonly failures: readonly { readonly name: string; readonly error: string; readonly at: string }[];
  readonly redundant: readonly { readonly name: string; readonly by: string; readonly kind: string }[];
}

/** An index below this is read and kept at no cost that matters; also pg_index_watch's limit for a rebuild. */
export const MIN_BYTES = 10 * 1024 ** 2;
/** Bytes for each entry against the baseline: a B-tree after random inserts stands at about 1.4, so 2 is bloat. */
export const BLOAT_LIMIT = 2;
/** A smaller table is rightly read as a whole. */
const MIN_ROWS = 10_000;
/** Fewer pages than these (8 MB) say nothing of a cache. */
export const MIN_PAGES = 1_000;
/** So many full scans are no accident, however few scans there were. */
const MANY_FULL_SCANS = 10;
/** A window that has no week in it misses the reports of a week. */
const MIN_UNUSED_DAYS = 7;
const DAY_MS = 86_400_000;

/** The worst first. */
export function verdictsOn(judged: Judged): IndexVerdict[] {
  const { figures, indexes, wanting, broken, failures, redundant } = judged;
  if (figures.unusable !== undefined) {
    return [{ level: "alert", kind: "missing", sentence: `${figures.unusable}; no index of it can do its work.` }];
  }
  const verdicts: IndexVerdict[] = [
    ...wanting.map((index) => judgeWanting(index)),
    ...failures.map(({ name, error, at }): IndexVerdict => {
      const sentence = `its build failed on ${formatDay(at)}: ${error}. Mend that, then run: tallyman indexes ensure.`;
      return { level: "alert", kind: "build-failed", index: name, sentence };
    }),
    ...broken.map(({ index, contract, why }): IndexVerdict => {
      const sentence = `the contract "${contract}" is not kept: ${why.join("; ")}. See: tallyman indexes verify.`;
      return { level: "alert", kind: "contract", ...(index === null ? {} : { index }), sentence };
    }),
    ...indexes.flatMap((index) => judgeIndex(index, judged)),
    ...redundant.map(({ name, by, kind }): IndexVerdict => {
      const what = kind === "duplicate" ? "has the same keys as" : "has but the first keys of";
      const sentence = `it ${what} ${by}, which does its work too; drop it unless a query needs the smaller one.`;
      return { level: "warn", kind: "redundant", index: name, sentence };
    }),
    ...judgeTarget(judged),
  ];
  return verdicts.sort((a, b) => Number(a.level === "warn") - Number(b.level === "warn"));
}

function judgeWanting({ name, required, detail }: Judged["wanting"][number]): IndexVerdict {
  const level = required ? "alert" : "warn";
  const declared = `it is declared${required ? " and required" : ""}`;
  if (detail === undefined) {
    return {
      level,
      kind: "missing",
      index: name,
      sentence: `${declared}, and not there; run: tallyman indexes ensure.`,
    };
  }
  const sentence = `${declared} with another definition (${detail}); see: tallyman indexes check.`;
  return { level, kind: "different", index: name, sentence };
}

function judgeIndex(index: IndexHistory, { figures: target, at }: Judged): IndexVerdict[] {
  const { figures, hit, limits, baseline, unusedSince, ownSize } = index;
  const { name, bytes } = figures;
  const verdicts: (IndexVerdict | undefined)[] = [];
  const add = (level: Level, kind: Kind, sentence: string) => verdicts.push({ level, kind, index: name, sentence });

  if (figures.state === "invalid") {
    add(
      "alert",
      "invalid",
      "it is invalid: it costs every write and serves no read; run tallyman indexes ensure if it is declared, else find out whose it is and drop it.",
    );
    return verdicts.filter((verdict) => verdict !== undefined);
  }
  if (hit && hit.of >= MIN_PAGES && hit.value < limits.hitWarn) {
    const level = hit.value < limits.hitCrit ? "alert" : "warn";
    const limit = level === "alert" ? limits.hitCrit : limits.hitWarn;
    const sentence = `only ${formatShare(hit.value)} of its ${formatCount(hit.of)} pages read since ${formatDay(hit.from)} came from the cache, the limit is ${formatShare(limit)}; give the server more memory, or the index fewer columns or a narrower predicate.`;
    add(level, "hit-rate", sentence);
  }
  if (ownSize && bytes >= MIN_BYTES && share(bytes, target.dataBytes) * 100 > limits.sizePct) {
    add("warn", "size", sizeSentence("it takes", bytes, target, limits.sizePct));
  }
  const days = Math.max(MIN_UNUSED_DAYS, limits.unusedDays);
  if (
    unusedSince !== null &&
    figures.guards.length === 0 &&
    Date.parse(at) - Date.parse(unusedSince) >= days * DAY_MS
  ) {
    const others = target.otherNodes > 0 ? `; ${target.otherNodes} other node(s) may use it, ask them too` : "";
    const sentence = `no scan since ${formatDay(unusedSince)} (window ${days} days), as far as this node (${target.node}) has seen${others}; before it is dropped, look whether a monthly report needs it.`;
    add("warn", "unused", sentence);
  }
  const factor = bloatOf(figures, baseline);
  if (factor !== null && baseline && factor >= BLOAT_LIMIT && bytes >= MIN_BYTES) {
    const since = baseline.of === "build" ? "when it was built" : "in the sample";
    const sentence = `it needs ${factor.toFixed(1)} times the bytes for each entry that it needed ${since} on ${formatDay(baseline.at)}, the limit is ${BLOAT_LIMIT}; run: tallyman indexes maintain.`;
    add("warn", "bloat", sentence);
  }
  return verdicts.filter((verdict) => verdict !== undefined);
}

function judgeTarget({
  figures,
  at,
  limits,
  indexes,
  fullScans,
  notAnalyzedSince: notAnalyzed,
}: Judged): IndexVerdict[] {
  const verdicts: IndexVerdict[] = [];
  const judgedTogether = indexes.filter((index) => !index.ownSize && hasDefaultLimit(index.figures));
  const together = judgedTogether.reduce((total, { figures: { bytes } }) => total + bytes, 0);
  if (together >= MIN_BYTES && share(together, figures.dataBytes) * 100 > limits.sizePct) {
    const names = judgedTogether.map(({ figures: { name } }) => name).join(", ");
    const sentence = `${sizeSentence("its indexes take", together, figures, limits.sizePct)} These are: ${names}.`;
    verdicts.push({ level: "warn", kind: "size", sentence });
  }
  const count = indexes.filter(({ figures: { guards } }) => !guards.includes("_id")).length;
  if (count > limits.maxIndexes) {
    const sentence = `it has ${count} indexes, the limit is ${limits.maxIndexes}; each costs every write: look at those unused and redundant.`;
    verdicts.push({ level: "warn", kind: "too-many", sentence });
  }
  if (fullScans && figures.rows >= MIN_ROWS && fullScans.value > limits.scanShare) {
    // One of ninety scans is more than 1 % and no news.
    if (fullScans.of >= 1 / limits.scanShare || fullScans.part >= MANY_FULL_SCANS) {
      const sentence = `${formatShare(fullScans.value)} of its ${formatCount(fullScans.of)} scans since ${formatDay(fullScans.from)} read it as a whole, the limit is ${formatShare(limits.scanShare)}; find the query in the slow queries or the server's log, and declare an index with a contract for it.`;
      verdicts.push({ level: "alert", kind: "full-scans", sentence });
    }
  }
  if (figures.slow && figures.slow.length > 0) {
    const [first] = figures.slow;
    const sentence = `${figures.slow.length} kind(s) of query take over 100 ms on average, the first ${first?.meanMs} ms in ${formatCount(first?.calls ?? 0)} calls: ${first?.query}; explain it, and verify its index's contract.`;
    verdicts.push({ level: "warn", kind: "slow-queries", sentence });
  }
  if (notAnalyzed !== null && figures.rows >= MIN_ROWS && Date.parse(at) - Date.parse(notAnalyzed) >= DAY_MS) {
    const sentence = `it has ${formatCount(figures.rows)} rows, and no ANALYZE of it is known since ${formatDay(notAnalyzed)}, so the planner may guess; look why autovacuum leaves it out, or run ANALYZE.`;
    verdicts.push({ level: "warn", kind: "not-analyzed", sentence });
  }
  return verdicts;
}

/** How many times the bytes of its baseline an entry takes; null where one of them is not known. */
export function bloatOf({ bytes, entries }: IndexFigures, baseline: Baseline | null): number | null {
  if (!baseline || entries === null || entries <= 0 || baseline.bytesPerEntry <= 0) return null;
  return bytes / entries / baseline.bytesPerEntry;
}

/** GIN over documents has a third of its table by nature: such an index is judged only by a limit of its own. */
function hasDefaultLimit({ method }: IndexFigures): boolean {
  return method === "" || method === "btree";
}

function sizeSentence(what: string, bytes: number, { dataBytes, engine }: TargetFigures, limit: number): string {
  const { target } = FACTS[engine];
  return `${what} ${formatBytes(bytes)}, ${formatShare(share(bytes, dataBytes))} of the ${target}'s ${formatBytes(dataBytes)}, the limit is ${limit} %; drop what is unused, or set limits.sizePct where it is meant.`;
}

/** Of nothing, everything is all. */
export function share(part: number, whole: number): number {
  return whole > 0 ? part / whole : part > 0 ? Infinity : 0;
}
