/**
 * Brings the indexes of both databases to what is declared: creates what is missing, online, one at a time, finishes what
 * was interrupted, and touches nothing else. It never acts on what it remembers: each step looks at the server, decides,
 * does one thing and looks again, so that resuming after a crash is no special case and the second run does nothing.
 */
import { OperatorError } from "../errors.ts";
import { type Engine, type EngineName, messageOf, type Observation, pause } from "./engine.ts";
import { lintManifest } from "./lint.ts";
import { DEFAULTS } from "./manifest.ts";
import { mongoEngine } from "./mongo.ts";
import { decide, type Decision } from "./plan.ts";
import { Session } from "./postgres-session.ts";
import { postgresEngine } from "./postgres.ts";
import type { IndexTargets } from "./targets.ts";

export interface EnsureEntry {
  engine: EngineName;
  /** A collection, or `schema.table`. */
  target: string;
  name: string;
  /**
   * `present`: nothing to do. `adopted`: another session was building it, and did. `repaired`: an invalid leftover was
   * replaced. `refused`: the build would block writers. `different`: the name, or an index the server holds for the
   * same, has another definition. The last three and `failed` leave the index wanting.
   */
  action: "present" | "created" | "adopted" | "repaired" | "refused" | "different" | "failed";
  detail?: string;
  ms: number;
}

export interface EnsureReport {
  entries: EnsureEntry[];
  /** Every declared index is there and of use. */
  ok: boolean;
}

export interface EnsureOptions extends IndexTargets {
  /** Lets a server that blocks writers during a build (FerretDB) build on a collection that is not empty. */
  allowBlocking?: boolean;
  /** How long to wait for the lock. */
  waitMs?: number;
  onProgress?: (line: string) => void;
  /** Stops between indexes and cancels a build that runs; the report then says what was not done. */
  signal?: AbortSignal;
  /** Milliseconds; for the report's durations only. */
  now?: () => number;
}

type Outcome = Pick<EnsureEntry, "action" | "detail">;

const MAX_ATTEMPTS = 5;
/** Looks at one index before giving up: two processes that undo each other's work must not keep this one for ever. */
const MAX_LOOKS = 30;
const RETRY_FIRST_MS = 500;

/** @throws UsageError (manifest, server), LockedError after `waitMs`, UnreachableError. Everything else is in the report. */
export async function ensureIndexes(options: EnsureOptions): Promise<EnsureReport> {
  const { manifest, now = Date.now } = options;
  lintManifest(manifest);
  const signal = options.signal ?? new AbortController().signal;
  const { lockWaitMs, maxBuildMs, maxWaitMs } = { ...DEFAULTS, ...manifest.defaults };
  const common = { signal, maxBuildMs, maxWaitMs, onProgress: options.onProgress ?? (() => undefined) };

  const session = new Session({
    ...common,
    databaseUrl: options.databaseUrl,
    lockWaitMs: options.waitMs ?? lockWaitMs,
  });
  const entries: EnsureEntry[] = [];
  try {
    await session.open();
    const engines: Engine[] = [];
    if (manifest.mongo) {
      const { mongo: db, allowBlocking = false } = options;
      engines.push(await mongoEngine({ ...common, db, indexes: manifest.mongo, allowBlocking }));
    }
    if (manifest.postgres) engines.push(postgresEngine({ ...common, session, indexes: manifest.postgres }));
    for (const engine of engines) {
      const seen: Seen = new Map();
      for (const { target, name } of inOrder(engine)) {
        const started = now();
        // Without its connection the lock is gone, and another run may be at work.
        if (session.lost && !signal.aborted) {
          await session.reopen();
          seen.clear();
        }
        const outcome: Outcome = signal.aborted
          ? { action: "failed", detail: "not started: cancelled" }
          : await ensureOne(engine, target, name, signal, seen);
        entries.push({ engine: engine.name, target, name, ...outcome, ms: now() - started });
      }
    }
  } finally {
    await session.close();
  }
  const fine = new Set<EnsureEntry["action"]>(["present", "created", "adopted", "repaired"]);
  return { entries, ok: entries.every(({ action }) => fine.has(action)) };
}

function inOrder(engine: Engine): { target: string; name: string; phase: number }[] {
  return [...engine.targets]
    .flatMap(([target, indexes]) => indexes.map(({ name, phase = 1 }) => ({ target, name, phase })))
    .sort((a, b) => a.phase - b.phase);
}

/** The last look at each target, good for saying "present" of the next index there and for nothing else. */
type Seen = Map<string, Observation>;

async function ensureOne(
  engine: Engine,
  target: string,
  name: string,
  signal: AbortSignal,
  seen: Seen,
): Promise<Outcome> {
  const last = seen.get(target);
  const known = last && conclude(last, name);
  if (known && "state" in known && known.state === "present") return present("present", known.otherName);

  let action: EnsureEntry["action"] = "present";
  let attempts = 0;
  let touched = false;
  for (let looks = 0; looks < MAX_LOOKS; looks += 1) {
    try {
      const view = await engine.observe(target);
      seen.set(target, view);
      const decision = conclude(view, name);
      if ("action" in decision) return decision;
      if (decision.state === "present") return present(action, decision.otherName);
      if (signal.aborted) return { action: "failed", detail: "cancelled" };
      if (decision.state === "building" || view.busy) {
        await engine.waitForBuild(target, name);
        if (decision.state === "building" && action === "present") action = "adopted";
      } else if (decision.state === "invalid") {
        touched = true;
        await engine.dropInvalid(target, name);
        action = action === "created" ? "created" : "repaired";
      } else {
        const refusal = await engine.refusal(target);
        if (refusal !== undefined) return { action: "refused", detail: refusal };
        touched = true;
        await engine.create(target, name);
        if (action !== "repaired") action = "created";
      }
    } catch (error) {
      if (error instanceof OperatorError) throw error;
      const verdict = await engine.judge(error);
      attempts += 1;
      if (signal.aborted || verdict === "fail" || attempts >= MAX_ATTEMPTS) {
        const left = touched ? await clearUp(engine, target, name) : undefined;
        const reason = signal.aborted ? "cancelled" : messageOf(error);
        return { action: "failed", detail: left === undefined ? reason : `${reason}; ${left}` };
      }
      if (verdict === "retry") await pause(RETRY_FIRST_MS * 2 ** (attempts - 1) * (0.5 + Math.random()), signal);
    }
  }
  return { action: "failed", detail: "it does not settle: something else changes this index at the same time" };
}

function present(action: EnsureEntry["action"], otherName: string | undefined): Outcome {
  return { action, ...(otherName === undefined ? {} : { detail: `as ${otherName}` }) };
}

type Open = Exclude<Decision, { state: "different" | "absent" }>;

/** What to do about one index, or the outcome if there is nothing to be done. */
function conclude({ unusable, actual, declared, rules }: Observation, name: string): Open | Outcome {
  if (unusable !== undefined) return { action: "failed", detail: unusable };
  const wanted = declared.get(name);
  if (!wanted || wanted instanceof Error) {
    return { action: "failed", detail: wanted?.message ?? "it is not declared" };
  }
  const decision = decide(wanted, actual, rules);
  if (decision.state === "different") return { action: "different", detail: decision.detail };
  if (decision.state === "absent") {
    const detail = `the ${wanted.constraint ?? ""} constraint is missing; it belongs to a migration`;
    return { action: "failed", detail };
  }
  return decision;
}

/** After a failed change: an invalid index costs every write, and a unique one goes on refusing rows. Answers what stays. */
async function clearUp(engine: Engine, target: string, name: string): Promise<string | undefined> {
  try {
    const decision = conclude(await engine.observe(target), name);
    if ("state" in decision && decision.state === "invalid") await engine.dropInvalid(target, name);
    return undefined;
  } catch (error) {
    return `an invalid index may be left, which the next run repairs (${messageOf(error)})`;
  }
}
