/**
 * Builds bloated indexes of PostgreSQL anew, online, one at a time under the keeper's lock; never by the calendar. Where
 * told to, asks MongoDB to give space back. What there is to do comes from the figures of `stats`.
 */
import type { Db } from "mongodb";
import { UsageError } from "../errors.ts";
import { type Engine, messageOf } from "./engines/engine.ts";
import { keyOf, currentEntries } from "./ledger/ledger.ts";
import { withEngines, type OpenOptions } from "./engines/open.ts";
import type { IndexSession } from "./engines/postgres/session.ts";
import { sizeOf } from "./engines/postgres/size.ts";
import { clearLeftovers, openJournal, ownLeftovers, reindex } from "./engines/postgres/reindex.ts";
import { readStats, type StatsReport } from "./stats/stats.ts";
import { formatBytes } from "./format.ts";
import { BLOAT_LIMIT, MIN_BYTES } from "./stats/judge.ts";
import type { IndexReport, TargetReport } from "./stats/report.ts";
import type { EngineName } from "./manifest/manifest.ts";

export interface MaintainOptions extends OpenOptions {
  /** Only says what would be done. */
  readonly dryRun?: boolean;
  /** Builds this index anew, bloated or not. */
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
   * What is done: `reindex` (with ANALYZE), `compact`, `drop` (a leftover of ours). `none`: nothing need be done;
   * `refused`: it cannot be done here.
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

/** @throws UsageError (manifest, server, no such index), LockedError, UnreachableError. Everything else is in the report. */
export async function maintainIndexes(options: MaintainOptions): Promise<MaintainReport> {
  const { dryRun = false } = options;
  const report = await readStats({ ...options, keep: !dryRun });
  const plan = planMaintenance(report, options);
  const entries = await withEngines(options, dryRun ? "look" : "change", async ({ engines, session, signal }) => {
    const done: MaintainEntry[] = [];
    const postgres = engines.find(({ name }) => name === "postgres");
    for (const target of postgres?.targets.keys() ?? []) done.push(...(await clear(session, target, dryRun)));
    for (const step of plan) {
      const { id: _id, ...entry } = step;
      if (step.state !== "planned" || dryRun) done.push(entry);
      else if (signal.aborted) done.push({ ...entry, state: "failed", why: "not started: cancelled" });
      else if (step.action === "compact") done.push(await compact(options.mongo, step));
      else if (postgres) done.push(await rebuild(session, postgres, step));
    }
    return done;
  });
  return { entries, dryRun, ok: entries.every(({ state }) => state !== "failed") };
}

type MaintainRequest = Pick<MaintainOptions, "index" | "compact">;

/** What there is to do, by the figures. Pure. @throws UsageError for a name that no index has */
export function planMaintenance(
  { targets }: Pick<StatsReport, "targets">,
  { index: wanted, compact }: MaintainRequest,
) {
  const steps = targets.flatMap((target): PlannedEntry[] => {
    if (target.engine === "mongodb") return compact === true ? [planCompact(target)] : [];
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
  const why = "asked for; only on this node, and some servers block the collection meanwhile";
  return { engine, target, action: "compact", state: "planned", why, bytesBefore: dataBytes + indexBytes };
}

async function clear(session: IndexSession, target: string, dryRun: boolean): Promise<MaintainEntry[]> {
  const leftovers = await ownLeftovers(session, target);
  if (leftovers.length === 0) return [];
  const why = "an interrupted maintain left it";
  const entries = leftovers.map((name) => ({
    engine: "postgres" as const,
    target,
    name,
    action: "drop" as const,
    why,
  }));
  if (dryRun) return entries.map((entry) => ({ ...entry, state: "planned" }));
  try {
    await clearLeftovers(session, target, leftovers);
    return entries.map((entry) => ({ ...entry, state: "done" }));
  } catch (error) {
    return entries.map((entry) => ({ ...entry, state: "failed", why: messageOf(error) }));
  }
}

async function rebuild(session: IndexSession, engine: Engine, { id, ...step }: PlannedEntry): Promise<MaintainEntry> {
  const started = performance.now();
  const { target, name = "" } = step;
  try {
    if (session.lost) await session.reopen();
    // While we waited for the lock somebody may have done the same.
    const before = await sizeOf(session, target, name);
    if (String(before.oid) !== id)
      return { ...step, action: "none", state: "left", why: "it was built anew meanwhile" };
    await engine.waitForBuild(target, name);
    await openJournal(session);
    const after = await reindex(session, target, name, before.bytes);
    const entry = currentEntries(await engine.ledger.read()).get(keyOf({ target, name }));
    if (entry) {
      const { startedAt: _started, finishedAt: _finished, ...rest } = entry;
      await engine.ledger.write({ ...rest, oid: after.oid, baseline: { bytes: after.bytes, rows: after.entries } });
    }
    const ms = Math.round(performance.now() - started);
    return { ...step, state: "done", bytesBefore: before.bytes, bytesAfter: after.bytes, ms };
  } catch (error) {
    return { ...step, state: "failed", why: messageOf(error), ms: Math.round(performance.now() - started) };
  }
}

const NO_SUCH_COMMAND = new Set([59, 115, 238]);

async function compact(db: Db, { id: _id, ...step }: PlannedEntry): Promise<MaintainEntry> {
  const started = performance.now();
  try {
    const answer = await db.command({ compact: step.target });
    const sizes = await db.command({ collStats: step.target });
    const freed = answer["bytesFreed"] as unknown;
    const why = freed === undefined ? step.why : `${step.why}; the server says that it freed ${Number(freed)} bytes`;
    const ms = Math.round(performance.now() - started);
    return {
      ...step,
      state: "done",
      why,
      bytesAfter: Number(sizes["storageSize"]) + Number(sizes["totalIndexSize"]),
      ms,
    };
  } catch (error) {
    if (NO_SUCH_COMMAND.has(Number((error as { code?: unknown }).code))) {
      return { ...step, action: "refused", state: "left", why: `this server has no compact: ${messageOf(error)}` };
    }
    return { ...step, state: "failed", why: messageOf(error) };
  }
}
