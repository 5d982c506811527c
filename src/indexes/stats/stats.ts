/**
 * Measures the cost and the use of the indexes of both databases: size, scans, cache hits, full scans, bloat, unused
 * and redundant indexes, with verdicts by the limits of the manifest. Changes no index. It stores its samples, because
 * a counter alone says nothing.
 */
import { UsageError } from "../../errors.ts";
import { messageOf, type DeclaredIndex, type Engine } from "../engines/engine.ts";
import { currentEntries, type LedgerEntry } from "../ledger/ledger.ts";
import { DEFAULTS, type Limits, type Manifest, type EngineName } from "../manifest/manifest.ts";
import { withEngines, type OpenOptions } from "../engines/open.ts";
import { findRedundant } from "../decision/redundant.ts";
import { FACTS } from "../engines/facts.ts";
import type { BuildWindow } from "../engines/figures.ts";
import { beganAnew, buildWindows } from "./history.ts";
import type { IndexVerdict } from "./judge.ts";
import { type Catalog, type ContractResult, targetReport, type TargetReport } from "./report.ts";
import { Samples } from "./samples.ts";
import { nameInDatabase, stateOf } from "../decision/state.ts";

export interface StatsReport {
  /** ISO 8601, by the clock of PostgreSQL */
  readonly at: string;
  readonly targets: readonly TargetReport[];
  /** alerts first */
  readonly verdicts: readonly (IndexVerdict & { readonly engine: EngineName; readonly target: string })[];
  /** No verdict is an alert. */
  readonly ok: boolean;
  /** why this sample could not be stored */
  readonly notKept?: string;
}

export interface StatsOptions extends OpenOptions {
  /** false: reads the stored samples and stores nothing */
  readonly keep?: boolean;
  /** The results of `verify`, which are judged too. */
  readonly contracts?: readonly (ContractResult & { readonly engine: EngineName; readonly target: string })[];
  /** Stores the report for /metrics; this role gets the right to read it. */
  readonly publishFor?: string;
}

/** Takes a sample and judges it with the earlier ones. @throws UsageError (manifest, server), UnreachableError */
export async function readStats(options: StatsOptions): Promise<StatsReport> {
  const { manifest } = options;
  return withEngines(options, "look", async ({ engines, session, signal }) => {
    const keep = options.keep !== false;
    const samples = await Samples.open(session, keep);
    const [clock] = await session.query<{ at: Date }>("SELECT clock_timestamp() AS at");
    if (!clock) throw new Error("PostgreSQL returned no time");
    const at = clock.at.toISOString();
    const targets: TargetReport[] = [];
    for (const engine of engines) {
      const database = await engine.statistics.database();
      const ledger = await readLedger(engine);
      const rebuilds = await engine.statistics.rebuilds();
      for (const target of engine.targets.keys()) {
        signal.throwIfAborted();
        const earlier =
          typeof samples === "string" ? [] : await samples.load({ engine: engine.name, target }, { database });
        const sample = { ...(await engine.statistics.figures(target, at)), at };
        const catalog = {
          ...(await catalogOf(engine, target, ledger, rebuilds.get(target) ?? [], manifest)),
          contracts: contractsOf(options.contracts, engine.name, target),
        };
        targets.push(targetReport([...earlier, sample], catalog));
        const last = earlier.at(-1);
        // After a reset of the counters, growth is measured from this sample on, so it is stored in any case.
        if (typeof samples !== "string" && keep)
          await samples.save(sample, { database }, !last || beganAnew(last, sample));
      }
    }
    const verdicts = targets.flatMap(({ engine, target, verdicts: own }) =>
      own.map((verdict) => ({ engine, target, ...verdict })),
    );
    verdicts.sort((a, b) => Number(a.level === "warn") - Number(b.level === "warn"));
    const report: StatsReport = {
      at,
      targets,
      verdicts,
      ok: verdicts.every(({ level }) => level !== "alert"),
      ...(typeof samples === "string" && keep ? { notKept: samples } : {}),
    };
    if (options.publishFor !== undefined && typeof samples !== "string") {
      await samples.report(report, at, options.publishFor);
    }
    return report;
  });
}

interface ReadLedger {
  readonly entries: readonly LedgerEntry[];
  readonly remarks: readonly string[];
}

/** Without the right to read the ledger, the report lacks baselines of builds and failed builds, and says so. */
async function readLedger(engine: Engine): Promise<ReadLedger> {
  try {
    return { entries: await engine.ledger.read(), remarks: [] };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return { entries: [], remarks: [error.message] };
  }
}

/** What declaration, catalog and ledger say about a target. */
async function catalogOf(
  engine: Engine,
  target: string,
  { entries, remarks }: ReadLedger,
  rebuilds: readonly BuildWindow[],
  manifest: Manifest,
): Promise<Omit<Catalog, "contracts">> {
  const declared: readonly (DeclaredIndex & { readonly limits?: Partial<Limits> })[] = engine.targets.get(target) ?? [];
  const own = entries.filter((entry) => entry.target === target);
  const common = {
    limits: limitsOf(manifest, engine.name),
    declared,
    limitsByIndex: new Map(declared.map(({ name, limits }) => [name, limits ?? {}])),
    remarks,
    builds: [...buildWindows(own, target), ...rebuilds],
    newest: new Map(own.map((entry) => [entry.name, entry])),
    current: new Map([...currentEntries(own).values()].map((entry) => [entry.name, entry])),
  };
  try {
    const view = await engine.observe(target);
    if (view.unusable !== undefined) return { ...common, states: new Map(), redundant: [] };
    const states = new Map(declared.map(({ name }) => [name, stateOf(view, name)]));
    const names = [...states].flatMap(([name, state]) => nameInDatabase(state, name) ?? []);
    return { ...common, states, redundant: findRedundant(view.actual, new Set(names)) };
  } catch (error) {
    // Comparing definitions needs a right that reading figures does not.
    const remark = `definitions are not compared: ${messageOf(error)}`;
    return { ...common, states: undefined, redundant: [], remarks: [...remarks, remark] };
  }
}

function contractsOf(all: StatsOptions["contracts"], engine: EngineName, target: string): ContractResult[] | null {
  const own = all?.filter((result) => result.engine === engine && result.target === target);
  return own?.map(({ index, contract, ok, why, warnings }) => ({ index, contract, ok, why, warnings })) ?? null;
}

function limitsOf({ defaults }: Manifest, engine: EngineName): Limits {
  return defaults?.limits ?? { ...DEFAULTS.limits, sizePct: FACTS[engine].sizePct };
}
