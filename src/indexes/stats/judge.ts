/** Judges the figures of a table or collection by the limits of the manifest. Pure. */
import type { Warning } from "../contract/verdict.ts";
import type { Limits } from "../manifest/manifest.ts";
import { FACTS } from "../engines/facts.ts";
import { formatBytes, formatCount, formatDay, formatShare } from "../format.ts";
import type { IndexFigures, TargetFigures } from "../engines/figures.ts";
import type { Baseline, Rate } from "./history.ts";

/** `warn`: look at it in office hours; `alert`: it harms reads or correctness now. */
export type Level = "warn" | "alert";

export type Kind =
  | "missing"
  | "invalid"
  | "different"
  | "build-failed"
  | "contract"
  | "multikey"
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
  /** absent for a verdict on the whole table or collection */
  readonly index?: string;
  /** the figure, the limit, and what to do */
  readonly sentence: string;
}

/** The figures of one index with what its history shows. */
export interface IndexHistory {
  readonly figures: IndexFigures;
  readonly limits: Limits;
  /** it has a size limit of its own, and is judged by that alone */
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
  /** declared indexes that are missing, or different: then `detail` says how */
  readonly wanting: readonly { readonly name: string; readonly required: boolean; readonly detail?: string }[];
  readonly fullScans: Rate | null;
  /** ISO 8601: PostgreSQL */
  readonly notAnalyzedSince: string | null;
  /** verified contracts that are not kept */
  readonly broken: readonly {
    readonly index: string | null;
    readonly contract: string;
    readonly why: readonly string[];
  }[];
  /** what verifying the contracts warned of; several contracts of an index may say the same */
  readonly warned: readonly { readonly index: string | null; readonly warnings: readonly Warning[] }[];
  /** failed builds, from the newest ledger entry of each index */
  readonly failures: readonly { readonly name: string; readonly error: string; readonly at: string }[];
  readonly redundant: readonly { readonly name: string; readonly by: string; readonly kind: string }[];
}

/** The cost of a smaller index does not matter; pg_index_watch has the same limit for a rebuild. */
export const MIN_BYTES = 10 * 1024 ** 2;
/** Bytes per entry, as a multiple of the baseline: about 1.4 in a B-tree after random inserts, so 2 is bloat. */
export const BLOAT_LIMIT = 2;
/** Full scans of a smaller table are right. */
const MIN_ROWS = 10_000;
/** Fewer pages than these (8 MB) say nothing about the cache. */
export const MIN_PAGES = 1_000;
/** So many full scans are no accident, even among few scans. */
const MANY_FULL_SCANS = 10;
/** A shorter window than a week misses weekly reports. */
const MIN_UNUSED_DAYS = 7;
const DAY_MS = 86_400_000;

/** Alerts come first. */
export function verdictsOn(judged: Judged): IndexVerdict[] {
  const { figures, indexes, wanting, broken, failures, redundant } = judged;
  if (figures.unusable !== undefined) {
    return [{ level: "alert", kind: "missing", sentence: `${figures.unusable}; none of its indexes can be used.` }];
  }
  const verdicts: IndexVerdict[] = [
    ...wanting.map((index) => judgeWanting(index)),
    ...failures.map(({ name, error, at }): IndexVerdict => {
      const sentence = `its build failed on ${formatDay(at)}: ${error}. Fix that, then run: tallyman indexes ensure.`;
      return { level: "alert", kind: "build-failed", index: name, sentence };
    }),
    ...broken.map(({ index, contract, why }): IndexVerdict => {
      const sentence = `the contract "${contract}" is not kept: ${why.join("; ")}. See: tallyman indexes verify.`;
      return { level: "alert", kind: "contract", ...(index === null ? {} : { index }), sentence };
    }),
    ...judgeWarned(judged),
    ...indexes.flatMap((index) => judgeIndex(index, judged)),
    ...redundant.map(({ name, by, kind }): IndexVerdict => {
      const what = kind === "duplicate" ? "has the same keys as" : "has only the first keys of";
      const sentence = `it ${what} ${by}, which serves its queries too; drop it unless a query needs the smaller index.`;
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
      sentence: `${declared}, but missing; run: tallyman indexes ensure.`,
    };
  }
  const sentence = `${declared}, but the database has another definition (${detail}); see: tallyman indexes check.`;
  return { level, kind: "different", index: name, sentence };
}

function judgeWarned({ warned }: Judged): IndexVerdict[] {
  const verdicts = warned.flatMap(({ index, warnings }) =>
    warnings.map(({ kind, sentence }): [string, IndexVerdict] => [
      sentence,
      { level: "warn", kind, ...(index === null ? {} : { index }), sentence },
    ]),
  );
  return [...new Map(verdicts).values()];
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
      "it is invalid: every write pays for it and no read uses it; run tallyman indexes ensure if it is declared, else find its owner and drop it.",
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
    const sentence = `no scan since ${formatDay(unusedSince)} (window ${days} days), as far as this node (${target.node}) has seen${others}; check that no monthly report needs it, then drop it.`;
    add("warn", "unused", sentence);
  }
  const factor = bloatOf(figures, baseline);
  if (factor !== null && baseline && factor >= BLOAT_LIMIT && bytes >= MIN_BYTES) {
    const since = baseline.of === "build" ? "when it was built" : "in the sample";
    const sentence = `it needs ${factor.toFixed(1)} times as many bytes per entry as ${since} on ${formatDay(baseline.at)}, the limit is ${BLOAT_LIMIT}; run: tallyman indexes maintain.`;
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
    const sentence = `it has ${count} indexes, the limit is ${limits.maxIndexes}; each slows every write: drop unused and redundant ones.`;
    verdicts.push({ level: "warn", kind: "too-many", sentence });
  }
  if (fullScans && figures.rows >= MIN_ROWS && fullScans.value > limits.scanShare) {
    // One full scan among ninety is over 1 % but no finding.
    if (fullScans.of >= 1 / limits.scanShare || fullScans.part >= MANY_FULL_SCANS) {
      const sentence = `${formatShare(fullScans.value)} of its ${formatCount(fullScans.of)} scans since ${formatDay(fullScans.from)} were full scans, the limit is ${formatShare(limits.scanShare)}; find the query in the slow queries or the server's log, and declare an index with a contract for it.`;
      verdicts.push({ level: "alert", kind: "full-scans", sentence });
    }
  }
  if (figures.slow && figures.slow.length > 0) {
    const [first] = figures.slow;
    const sentence = `${figures.slow.length} kind(s) of query take over 100 ms on average, the first ${first?.meanMs} ms in ${formatCount(first?.calls ?? 0)} calls: ${first?.query}; explain it, and verify its index's contract.`;
    verdicts.push({ level: "warn", kind: "slow-queries", sentence });
  }
  if (notAnalyzed !== null && figures.rows >= MIN_ROWS && Date.parse(at) - Date.parse(notAnalyzed) >= DAY_MS) {
    const sentence = `it has ${formatCount(figures.rows)} rows and no known ANALYZE since ${formatDay(notAnalyzed)}, so the planner may guess; run ANALYZE, and check why autovacuum leaves it out.`;
    verdicts.push({ level: "warn", kind: "not-analyzed", sentence });
  }
  return verdicts;
}

/** Bytes per entry as a multiple of the baseline's; null where one of them is not known. */
export function bloatOf({ bytes, entries }: IndexFigures, baseline: Baseline | null): number | null {
  if (!baseline || entries === null || entries <= 0 || baseline.bytesPerEntry <= 0) return null;
  return bytes / entries / baseline.bytesPerEntry;
}

/** GIN over documents takes a third of its table by nature, so only B-tree and MongoDB indexes have a default limit. */
function hasDefaultLimit({ method }: IndexFigures): boolean {
  return method === "" || method === "btree";
}

function sizeSentence(what: string, bytes: number, { dataBytes, engine }: TargetFigures, limit: number): string {
  const { target } = FACTS[engine];
  return `${what} ${formatBytes(bytes)}, ${formatShare(share(bytes, dataBytes))} of the ${target}'s ${formatBytes(dataBytes)}, the limit is ${limit} %; drop unused indexes, or raise limits.sizePct if the size is intended.`;
}

/** The part as a share of the whole; infinite for something of an empty whole. */
export function share(part: number, whole: number): number {
  return whole > 0 ? part / whole : part > 0 ? Infinity : 0;
}
