/**
 * Brings the indexes of both databases to their declared state: creates missing ones online, one at a time, finishes
 * interrupted changes, and touches nothing else. It never acts on memory: each step looks at the server, decides, does
 * one thing and looks again, so resuming after a crash is no special case and a second run does nothing.
 */
import { randomUUID } from "node:crypto";
import type { Engine } from "../engines/engine.ts";
import { ensureOne, type Seen } from "./ensure-one.ts";
import { OUTCOMES, type EnsureOutcome } from "./outcome.ts";
import type { Ensuring } from "./perform.ts";
import { withEngines, type OpenOptions } from "../engines/open.ts";
import { Recorder } from "../ledger/recorder.ts";
import { retireWindows } from "./retire.ts";
import { undoRun } from "../rollback/rollback.ts";
import type { UndoneEntry } from "../rollback/undo.ts";
import type { EngineName } from "../manifest/manifest.ts";

export interface EnsureEntry extends EnsureOutcome {
  readonly engine: EngineName;
  /** A collection, or `schema.table`. */
  readonly target: string;
  readonly name: string;
  readonly ms: number;
}

export interface EnsureReport {
  /** The id that `rollback --run` takes. */
  readonly runId: string;
  readonly entries: readonly EnsureEntry[];
  /** Every declared index exists as declared and is valid. */
  readonly ok: boolean;
  /** The changes taken back after a failure; with `allOrNothing` only. */
  readonly undone?: readonly UndoneEntry[];
}

export interface EnsureOptions extends OpenOptions {
  /** Replaces, online, an index that has a declared name but another definition. */
  readonly replace?: boolean;
  /** If one index fails, takes back what this run created. */
  readonly allOrNothing?: boolean;
  /** Milliseconds; for the report's durations only. */
  readonly now?: () => number;
}

/**
 * @throws UsageError (manifest, server), LockedError after `waitMs`, UnreachableError. Everything else is in the
 * report.
 */
export async function ensureIndexes(options: EnsureOptions): Promise<EnsureReport> {
  const { manifest, now = Date.now, onProgress = () => undefined } = options;
  const runId = randomUUID();
  return withEngines(options, "change", async ({ engines, session, signal, windows, prove }) => {
    const entries: EnsureEntry[] = [];
    for (const engine of engines) {
      const recorder = new Recorder(engine.ledger, manifest.project, runId);
      const seen: Seen = new Map();
      for (const { target, index } of inOrder(engine)) {
        const started = now();
        // The lock was lost with the connection, so another run may have changed something.
        if (session.lost && !signal.aborted) {
          await session.reopen();
          seen.clear();
          recorder.forget();
        }
        const step: Ensuring = {
          engine,
          recorder,
          target,
          index,
          signal,
          mayReplace: options.replace === true || index.replace === true,
          mayCreateTarget: manifest.createCollections === true,
        };
        const outcome: EnsureOutcome = signal.aborted
          ? { action: "failed", detail: "not started: cancelled" }
          : await ensureOne(step, seen);
        if (outcome.action !== "present") onProgress(`${engine.name} ${target} ${index.name}: ${outcome.action}`);
        entries.push({ engine: engine.name, target, name: index.name, ...outcome, ms: now() - started });
        const window = windows.get(index.name);
        if (!window || !OUTCOMES[outcome.action].isAsDeclared || signal.aborted) continue;
        for (const retired of await retireWindows(step, window, prove)) {
          entries.push({ engine: engine.name, target, ...retired, ms: now() - started });
        }
      }
    }
    const ok = entries.every(({ action }) => OUTCOMES[action].isAsDeclared);
    const isFailed = entries.some(({ action }) => action === "failed");
    if (options.allOrNothing !== true || !isFailed) return { runId, entries, ok };
    if (session.lost) await session.reopen();
    return { runId, entries, ok, undone: await undoRun(engines, manifest.project, runId) };
  });
}

function inOrder(engine: Engine) {
  return [...engine.targets]
    .flatMap(([target, indexes]) => indexes.map((index) => ({ target, index })))
    .sort((a, b) => (a.index.phase ?? 1) - (b.index.phase ?? 1));
}
