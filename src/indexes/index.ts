/**
 * The index keeper: a library that keeps the indexes of both databases as a manifest declares them. Other code imports
 * this file only. Each verb is loaded when it is called, since few commands need it.
 */
import type { Db } from "mongodb";
import type { Pool } from "pg";
import type { CheckReport } from "./check/check.ts";
import type { PlanReport } from "./check/plan.ts";
import type { IndexTargets, OpenOptions } from "./engines/open.ts";
import type { DiscoverOptions, DiscoverReport } from "./discover/discover.ts";
import type { EnsureOptions, EnsureReport } from "./ensure/ensure.ts";
import type { MaintainOptions, MaintainReport } from "./maintain.ts";
import type { ManifestDescription } from "./manifest/describe.ts";
import type { Manifest, PostgresIndex } from "./manifest/manifest.ts";
import type { ServingIndexes } from "./required.ts";
import type { RollbackRequest } from "./rollback/rollback.ts";
import type { UndoneEntry } from "./rollback/undo.ts";
import type { StatsOptions, StatsReport } from "./stats/stats.ts";
import type { VerifyOptions, VerifyReport } from "./verify/verify.ts";

export type * from "./manifest/manifest.ts";
export type { IndexTargets };
export type { CheckReport, IndexFinding, TargetFinding } from "./check/check.ts";
export type { PlannedStep, PlanReport } from "./check/plan.ts";
export type { DiscoverReport };
export type { EnsureOptions, EnsureReport };
export type { MaintainReport };
export type { ServingIndexes };
export type { RollbackRequest, UndoneEntry };
export type { StatsReport };
export type { IndexReport, TargetReport } from "./stats/report.ts";
export type { VerifyEntry, VerifyReport } from "./verify/verify.ts";

export { FACTS } from "./engines/facts.ts";
export { REPORTED_STATES } from "./decision/reported.ts";
export { OUTCOMES } from "./ensure/outcome.ts";
export { formatBytes, formatDay, formatMs, formatShare } from "./format.ts";
export { LEDGER_COLLECTION, OWN_TABLE } from "./manifest/reserved.ts";
export { select } from "./manifest/selection.ts";
export { MIN_PAGES } from "./stats/judge.ts";

/** Reads a manifest from a `.yaml`, `.yml` or `.json` file. @throws UsageError with file:line:column of every fault */
export async function loadManifest(file: string): Promise<Manifest> {
  const [{ loadManifest: load }, { manifestFaults }] = await Promise.all([
    import("./manifest/load.ts"),
    import("./engines/lint.ts"),
  ]);
  return load(file, manifestFaults);
}

/** @throws UsageError naming each faulty index */
export async function describeManifest(manifest: Manifest): Promise<ManifestDescription> {
  const [{ describeManifest: describe }, { lintManifest, warningsOf }] = await Promise.all([
    import("./manifest/describe.ts"),
    import("./engines/lint.ts"),
  ]);
  lintManifest(manifest);
  return describe(manifest, warningsOf(manifest));
}

/** Everything of a PostgreSQL definition after the table's name. */
export async function definitionTail(index: PostgresIndex): Promise<string> {
  return (await import("./engines/postgres/ddl.ts")).definitionTail(index);
}

/**
 * Compares the databases with the manifest. Changes nothing.
 * @throws UsageError (manifest, server), UnreachableError
 */
export async function checkIndexes(options: OpenOptions): Promise<CheckReport> {
  return (await import("./check/check.ts")).checkIndexes(options);
}

/**
 * The statements that `ensureIndexes` would run. Changes nothing.
 * @throws UsageError (manifest, server), UnreachableError
 */
export async function planIndexes(options: OpenOptions): Promise<PlanReport> {
  return (await import("./check/plan.ts")).planIndexes(options);
}

/**
 * Creates missing indexes online and finishes interrupted changes. Before a replaced index or an older window is
 * dropped, the contracts of the new index are verified.
 *
 * @throws UsageError (manifest, server), LockedError after `waitMs`, UnreachableError. Everything else is in the
 * report.
 */
export async function ensureIndexes(options: EnsureOptions): Promise<EnsureReport> {
  const [{ ensureIndexes: ensure }, { proveWith }] = await Promise.all([
    import("./ensure/ensure.ts"),
    import("./ensure/prove.ts"),
  ]);
  return ensure({ prove: proveWith(options), ...options });
}

/** A manifest of what the databases have already. Changes nothing. @throws UsageError (server), UnreachableError */
export async function discoverIndexes(options: DiscoverOptions): Promise<DiscoverReport> {
  return (await import("./discover/discover.ts")).discoverIndexes(options);
}

/**
 * What a rollback would do, newest change first. Changes nothing.
 * @throws UsageError for a run that has nothing left
 */
export async function planRollback(options: OpenOptions, request: RollbackRequest): Promise<readonly UndoneEntry[]> {
  return (await import("./rollback/rollback.ts")).planRollback(options, request);
}

/** Takes back the changes of a run, and nothing else. @throws UsageError, LockedError, UnreachableError */
export async function rollbackIndexes(options: OpenOptions, request: RollbackRequest): Promise<readonly UndoneEntry[]> {
  return (await import("./rollback/rollback.ts")).rollbackIndexes(options, request);
}

/** The newest run of a manifest that has something left to take back. */
export async function newestUndoableRun(options: OpenOptions): Promise<string | undefined> {
  return (await import("./rollback/rollback.ts")).newestUndoableRun(options);
}

/** Explains the query of each contract on the live data. @throws UsageError (manifest), UnreachableError */
export async function verifyIndexes(options: VerifyOptions): Promise<VerifyReport> {
  return (await import("./verify/verify.ts")).verifyIndexes(options);
}

/**
 * Takes a sample of the figures and judges it with the earlier samples.
 * @throws UsageError (manifest, server), UnreachableError
 */
export async function readStats(options: StatsOptions): Promise<StatsReport> {
  return (await import("./stats/stats.ts")).readStats(options);
}

/** The newest stored report of `readStats`; undefined where there is none yet or this role may not read it. */
export async function newestReport(sql: Pick<Pool, "query">): Promise<StatsReport | undefined> {
  return (await import("./stats/samples.ts")).newestReport<StatsReport>(sql);
}

/** Rebuilds bloated indexes, online. @throws UsageError (manifest, server), LockedError, UnreachableError */
export async function maintainIndexes(options: MaintainOptions): Promise<MaintainReport> {
  return (await import("./maintain.ts")).maintainIndexes(options);
}

/**
 * The indexes of MongoDB that serve the required ones.
 * @throws UsageError that names the first required index that no usable one serves, and the fix
 */
export async function requireIndexes(manifest: Manifest, db: Db, pool: Pick<Pool, "query">): Promise<ServingIndexes> {
  return (await import("./required.ts")).requireIndexes(manifest, db, pool);
}
