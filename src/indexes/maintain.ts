/**
 * Rebuilds bloated indexes of PostgreSQL online, one at a time, under the keeper's lock; never by the calendar. On
 * request compacts MongoDB's collections. The figures of `stats` decide what is to be done.
 */
import { UsageError } from "../errors.ts";
import { messageOf, type Engine } from "./engines/engine.ts";
import { FACTS } from "./engines/facts.ts";
import { withEngines, type OpenOptions } from "./engines/open.ts";
import { formatBytes } from "./format.ts";
import type { EngineName } from "./manifest/manifest.ts";
import { BLOAT_LIMIT, MIN_BYTES } from "./stats/judge.ts";
import type { IndexReport, TargetReport } from "./stats/report.ts";
import { readStats, type StatsReport } from "./stats/stats.ts";

export interface MaintainOptions extends OpenOptions {
  /** Reports what would be done, and changes nothing. */
  readonly dryRun?: boolean;
  /** Rebuilds this index, bloated or not. */
  readonly index?: string;
  /** Runs `compact` on the declared collections. */
  readonly compact?: boolean;
}

export interface MaintainEntry {
  readonly engine: EngineName;
  readonly target: string;
  /** absent for a whole collection */
  readonly name?: string;
  /**
   * `reindex` (with ANALYZE), `compact`, `drop` (a leftover of the keeper). `none`: nothing to do; `refused`: not
   * possible here.
   */
  readonly action: "reindex" | "compact" | "drop" | "none" | "refused";
  /** `planned` in a dry run */
  readonly state: "planned" | "done" | "failed" | "left";
  readonly why: string;
  readonly bytesBefore?: number;
  readonly bytesAfter?: number;
  readonly ms?: number;
}

export interface MaintainReport {
  readonly entries: readonly MaintainEntry[];
  readonly dryRun: boolean;
  /** Nothing failed. */
  readonly ok: boolean;
}

/**
 * @throws UsageError (manifest, server, no such index), LockedError, UnreachableError. Everything else is in the
 * report.
 */
export async function maintainIndexes(options: MaintainOptions): Promise<MaintainReport> {
  const { dryRun = false } = options;
  const report = await readStats({ ...options, keep: !dryRun });
  const plan = planMaintenance(report, options);
  const entries = await withEngines(options, dryRun ? "look" : "change", async ({ engines, signal }) => {
    const done: MaintainEntry[] = [];
    for (const engine of engines) {
      for (const target of engine.targets.keys()) done.push(...(await clear(engine, target, dryRun)));
    }
    const byName = new Map(engines.map((engine) => [engine.name, engine]));
    for (const { id, ...entry } of plan) {
      const engine = byName.get(entry.engine);
      if (entry.state !== "planned" || dryRun) done.push(entry);
      else if (signal.aborted) done.push({ ...entry, state: "failed", why: "not started: cancelled" });
      else if (engine)
        done.push({
          ...entry,
          ...(await engine.maintenance.perform({ ...entry, ...(id === undefined ? {} : { id }) })),
        });
    }
    return done;
  });
  return { entries, dryRun, ok: entries.every(({ state }) => state !== "failed") };
}

type MaintainRequest = Pick<MaintainOptions, "index" | "compact">;

/** Plans the maintenance from the figures. Pure. @throws UsageError for a name that no index has */
export function planMaintenance(
  { targets }: Pick<StatsReport, "targets">,
  { index: wanted, compact }: MaintainRequest,
) {
  const steps = targets.flatMap((target): PlannedEntry[] => {
    if (FACTS[target.engine].maintenance === "compact") return compact === true ? [planCompact(target)] : [];
    return target.indexes.flatMap((index) => planIndex(target, index, wanted));
  });
  if (wanted !== undefined && !steps.some(({ name }) => name === wanted)) {
    throw new UsageError(`No declared table of PostgreSQL has an index ${wanted}. See: tallyman indexes stats`);
  }
  return steps;
}

type PlannedEntry = MaintainEntry & { readonly id?: string };

function planIndex({ engine, target }: TargetReport, index: IndexReport, wanted: string | undefined): PlannedEntry[] {
  const { name, id, bytes, bloat, state, declaredAs, guards } = index;
  if (wanted === undefined ? declaredAs === null : wanted !== name) return [];
  const entry = { engine, target, name, id, bytesBefore: bytes };
  if (state !== "ready") {
    return [{ ...entry, action: "refused", state: "left", why: `it is ${state}; run: tallyman indexes ensure` }];
  }
  if (guards.includes("exclusion constraint")) {
    const why = "PostgreSQL cannot build the index of an exclusion constraint online";
    return [{ ...entry, action: "refused", state: "left", why }];
  }
  const factor = bloat === null ? "no baseline is known yet" : `${bloat.toFixed(1)} times the baseline`;
  if (wanted !== undefined) return [{ ...entry, action: "reindex", state: "planned", why: `asked for; ${factor}` }];
  const isBloated = bloat !== null && bloat >= BLOAT_LIMIT;
  if (isBloated && bytes >= MIN_BYTES) return [{ ...entry, action: "reindex", state: "planned", why: factor }];
  const size = isBloated ? `${factor}, but below ${formatBytes(MIN_BYTES)}` : factor;
  return [{ ...entry, action: "none", state: "left", why: size }];
}

function planCompact({ engine, target, unusable, dataBytes, indexBytes }: TargetReport): PlannedEntry {
  if (unusable !== undefined) return { engine, target, action: "refused", state: "left", why: unusable };
  const why = "asked for; compacts this node only, and some servers block the collection meanwhile";
  return { engine, target, action: "compact", state: "planned", why, bytesBefore: dataBytes + indexBytes };
}

async function clear({ name: engine, maintenance }: Engine, target: string, dryRun: boolean): Promise<MaintainEntry[]> {
  const leftovers = await maintenance.leftovers(target);
  if (leftovers.length === 0) return [];
  const why = "left by an interrupted maintain";
  const entries = leftovers.map((name) => ({ engine, target, name, action: "drop" as const, why }));
  if (dryRun) return entries.map((entry) => ({ ...entry, state: "planned" }));
  try {
    await maintenance.clear(target, leftovers);
    return entries.map((entry) => ({ ...entry, state: "done" }));
  } catch (error) {
    return entries.map((entry) => ({ ...entry, state: "failed", why: messageOf(error) }));
  }
}
