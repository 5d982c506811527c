/** Combines the figures, rates and verdicts of one table or collection. Pure. */
import type { Warning } from "../contract/verdict.ts";
import type { DeclaredIndex } from "../engines/engine.ts";
import type { LedgerEntry } from "../ledger/ledger.ts";
import type { Limits } from "../manifest/manifest.ts";
import type { Redundancy } from "../decision/redundant.ts";
import { REPORTED, type ReportedState } from "../decision/reported.ts";
import type { IndexState } from "../decision/state.ts";
import type { IndexFigures, Sample, TargetFigures, BuildWindow } from "../engines/figures.ts";
import {
  type Baseline,
  baselineOf,
  fullScanShare,
  hitRate,
  newScans,
  notAnalyzedSince,
  type Rate,
  unusedSince,
} from "./history.ts";
import { bloatOf, verdictsOn, share, type IndexHistory, type IndexVerdict } from "./judge.ts";

/** The state of a declared index; `as`: the name of an equal index that does its work. */
export interface DeclaredState {
  readonly state: ReportedState;
  readonly as?: string;
  readonly detail?: string;
}

/** The result of `verify` for one contract. */
export interface ContractResult {
  /** the declared name; null for a query without an index */
  readonly index: string | null;
  readonly contract: string;
  readonly ok: boolean;
  readonly why: readonly string[];
  readonly warnings: readonly Warning[];
}

/** What declaration, catalog and ledger say about a target. */
export interface Catalog {
  readonly limits: Limits;
  readonly declared: readonly DeclaredIndex[];
  /** by declared name: the index's own limits */
  readonly limitsByIndex: ReadonlyMap<string, Partial<Limits>>;
  /** by declared name; undefined where definitions could not be compared */
  readonly states: ReadonlyMap<string, IndexState> | undefined;
  /** what could not be read, and why */
  readonly remarks: readonly string[];
  readonly redundant: readonly Redundancy[];
  /** null if they were not verified */
  readonly contracts: readonly ContractResult[] | null;
  readonly builds: readonly BuildWindow[];
  /** by name: the ledger's newest entry */
  readonly newest: ReadonlyMap<string, LedgerEntry>;
  /** by name: the current entry */
  readonly current: ReadonlyMap<string, LedgerEntry>;
}

export interface IndexReport extends Omit<IndexFigures, "cache"> {
  /** the name in the manifest, where it has one */
  readonly declaredAs: string | null;
  /** percent of the data; null without data */
  readonly sizePct: number | null;
  /** scans since the previous sample */
  readonly newScans: number | null;
  readonly hit: Rate | null;
  readonly unusedSince: string | null;
  /** bytes per entry as a multiple of the baseline's */
  readonly bloat: number | null;
  readonly baseline: Baseline | null;
}

export interface TargetReport extends Omit<TargetFigures, "indexes" | "epoch"> {
  readonly sizePct: number | null;
  /** share of full scans among all scans */
  readonly fullScans: Rate | null;
  /** number of samples, including this one, and below it the time of the first */
  readonly samples: number;
  readonly firstSample: string;
  readonly indexes: readonly IndexReport[];
  /** the declared indexes with their states; a fixed set, from which the metrics are made */
  readonly declared: readonly ({ readonly name: string } & DeclaredState)[];
  /** null if they were not verified */
  readonly contracts: readonly ContractResult[] | null;
  readonly verdicts: readonly IndexVerdict[];
  /** limits of these figures */
  readonly notes: readonly string[];
}

/** @param samples of one target, oldest first; the last is from now */
export function targetReport(samples: readonly Sample[], catalog: Catalog): TargetReport {
  const sample = samples.at(-1);
  const first = samples[0];
  if (!sample || !first) throw new Error("there is no sample");
  const { at, epoch: _epoch, indexes, ...figures } = sample;
  const declared = catalog.declared.map(({ name }) => ({ name, ...declaredState(name, sample, catalog) }));
  const declaredNames = new Map(
    declared.filter(({ state }) => state !== "missing").map(({ name, as }) => [as ?? name, name]),
  );
  const histories = indexes.map((index): IndexHistory => {
    const own = catalog.limitsByIndex.get(declaredNames.get(index.name) ?? "") ?? {};
    return {
      figures: index,
      limits: { ...catalog.limits, ...own },
      ownSize: own.sizePct !== undefined,
      hit: hitRate(samples, index.name),
      unusedSince: unusedSince(samples, index.name),
      baseline: baselineOf(samples, index.name, catalog.current.get(index.name)),
    };
  });
  const fullScans = fullScanShare(samples, catalog.builds);
  const verdicts = verdictsOn({
    figures: sample,
    at,
    limits: catalog.limits,
    // A single sample cannot show that an index is unused.
    indexes: samples.length > 1 ? histories : histories.map((index) => ({ ...index, unusedSince: null })),
    wanting: declared.flatMap(({ name, state, detail }) => {
      if (state !== "missing" && state !== "different") return [];
      const required = catalog.declared.find((index) => index.name === name)?.required === true;
      return [{ name, required, ...(state === "different" ? { detail: detail ?? "" } : {}) }];
    }),
    fullScans,
    notAnalyzedSince: notAnalyzedSince(samples),
    broken: (catalog.contracts ?? []).filter(({ ok }) => !ok),
    warned: catalog.contracts ?? [],
    failures: declared.flatMap(({ name, state }) => {
      const entry = catalog.newest.get(name);
      if (state === "ok" || entry?.state !== "failed") return [];
      return [{ name, error: entry.error ?? "no reason is known", at: entry.finishedAt ?? entry.startedAt }];
    }),
    redundant: catalog.redundant,
  });
  return {
    ...figures,
    sizePct: percentOf(figures.indexBytes, figures.dataBytes),
    fullScans,
    samples: samples.length,
    firstSample: first.at,
    indexes: histories.map(({ figures: index, hit, unusedSince: unused, baseline }): IndexReport => {
      const { cache: _cache, ...rest } = index;
      return {
        ...rest,
        declaredAs: declaredNames.get(index.name) ?? null,
        sizePct: percentOf(index.bytes, figures.dataBytes),
        newScans: newScans(samples, index.name),
        hit,
        unusedSince: unused,
        bloat: bloatOf(index, baseline),
        baseline,
      };
    }),
    declared,
    contracts: catalog.contracts,
    verdicts,
    notes: notesOf(sample, samples, catalog, histories),
  };
}

function declaredState(name: string, sample: Sample, { states }: Catalog): DeclaredState {
  const known = states?.get(name);
  if (known) return reported(known);
  const index = sample.indexes.find((one) => one.name === name);
  return { state: index ? REPORTED_FIGURES[index.state] : "missing" };
}

/** Where definitions could not be compared, an index of the declared name counts as the declared one. */
const REPORTED_FIGURES: Readonly<Record<IndexFigures["state"], ReportedState>> = {
  ready: "ok",
  building: "building",
  invalid: "invalid",
};

function reported(state: IndexState): DeclaredState {
  const as = state.state === "present" || state.state === "building" ? state.as : undefined;
  const detail = state.state === "different" || state.state === "unusable" ? state.detail : undefined;
  return {
    state: REPORTED[state.state],
    ...(as === undefined ? {} : { as }),
    ...(detail === undefined ? {} : { detail }),
  };
}

function notesOf(
  { unknown, unusable, otherNodes, node }: Sample,
  samples: readonly Sample[],
  { remarks }: Catalog,
  histories: readonly IndexHistory[],
): string[] {
  if (unusable !== undefined) return [];
  const fromSamples = histories.some(({ baseline }) => baseline?.of === "sample");
  return [
    ...unknown,
    ...(samples.length > 1
      ? []
      : ["this is the first sample: hit rate, full scans and unused indexes are judged from the second sample on"]),
    ...(otherNodes > 0 ? [`scans are those of ${node} alone; ${otherNodes} other node(s) are not asked`] : []),
    ...(fromSamples ? ["bloat of indexes that the keeper did not build is measured against an earlier sample"] : []),
    ...remarks,
  ];
}

function percentOf(part: number, whole: number): number | null {
  return whole > 0 ? Math.round(share(part, whole) * 10_000) / 100 : null;
}
