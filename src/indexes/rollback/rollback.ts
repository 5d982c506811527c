/**
 * Takes back the changes of a run of the keeper, and nothing else. An index is dropped only if the ledger says that the
 * keeper made it and the database still has that very index. Adopted indexes are never touched; replaced ones come
 * back.
 */
import { OperatorError, UsageError } from "../../errors.ts";
import { messageOf, pause, type Engine } from "../engines/engine.ts";
import { currentEntries, isOwnWork, keyOf, type LedgerEntry } from "../ledger/ledger.ts";
import { withEngines, type OpenOptions } from "../engines/open.ts";
import { COLLECTION, markOf, Recorder } from "../ledger/recorder.ts";
import { findMade, planUndo, type UndoneEntry } from "./undo.ts";

/** Selects ledger entries. Without `runId`, `index` and `all`: those of the newest run that changed anything. */
export interface RollbackRequest {
  readonly runId?: string;
  readonly index?: string;
  /** the entries of every run of this manifest */
  readonly all?: boolean;
  /** only indexes that the manifest declares, so that a selected part of it can be rolled back */
  readonly declaredOnly?: boolean;
  /** only these, which a person was shown and confirmed */
  readonly agreed?: readonly UndoneEntry[];
}

const MAX_ATTEMPTS = 3;
const RETRY_MS = 500;

/**
 * What a rollback would do, newest change first. Changes nothing.
 * @throws UsageError for a run that has nothing left
 */
export async function planRollback(options: OpenOptions, request: RollbackRequest): Promise<readonly UndoneEntry[]> {
  return withEngines(options, "look", async ({ engines }) => {
    const found: UndoneEntry[] = [];
    const wanted = await undoableEntries(engines, options.manifest.project, request);
    if (request.runId !== undefined && wanted.length === 0) {
      throw new UsageError(`run ${request.runId} has left nothing to take back in these databases`);
    }
    for (const { engine, entry } of wanted) {
      const { act: _act, pending: _pending, ...planned } = await planUndo(engine, entry, request.declaredOnly === true);
      found.push(planned);
    }
    return found;
  });
}

/** @throws UsageError, LockedError, UnreachableError; what could not be taken back is `kept`, with the reason */
export async function rollbackIndexes(options: OpenOptions, request: RollbackRequest): Promise<readonly UndoneEntry[]> {
  return withEngines(options, "change", async ({ engines, signal }) =>
    undo(engines, options.manifest.project, request, signal),
  );
}

/** Takes back one run under a lock that is already held, and does not stop at a cancellation. */
export async function undoRun(engines: readonly Engine[], project: string, runId: string): Promise<UndoneEntry[]> {
  return undo(engines, project, { runId }, new AbortController().signal);
}

interface EngineEntry {
  readonly engine: Engine;
  readonly entry: LedgerEntry;
}

async function undo(
  engines: readonly Engine[],
  project: string,
  request: RollbackRequest,
  signal: AbortSignal,
): Promise<UndoneEntry[]> {
  const undone: UndoneEntry[] = [];
  const isSeen = ({ engine, entry }: EngineEntry) =>
    undone.some((one) => one.engine === engine.name && one.runId === entry.runId && keyOf(one) === keyOf(entry));
  const isAgreed = ({ engine, entry }: EngineEntry) =>
    request.agreed?.some((one) => one.engine === engine.name && keyOf(one) === keyOf(entry)) ?? true;
  for (;;) {
    const found = await undoableEntries(engines, project, request);
    const wanted = found.filter((one) => !isSeen(one) && isAgreed(one));
    for (const { engine, entry } of wanted) undone.push(await undoOne(engine, entry, request, signal));
    // A restored index may make an older entry current again, so look once more.
    if (request.all !== true || wanted.length === 0) return undone;
  }
}

async function undoOne(
  engine: Engine,
  entry: LedgerEntry,
  request: RollbackRequest,
  signal: AbortSignal,
): Promise<UndoneEntry> {
  const recorder = new Recorder(engine.ledger, entry.project, entry.runId);
  const { startedAt: _startedAt, finishedAt: _finishedAt, state, ...subject } = entry;
  const { target, name, runId } = entry;
  const base = { engine: engine.name, target, name, runId };
  let current = entry;
  for (let attempt = 1; ; attempt += 1) {
    try {
      if (signal.aborted) return { ...base, action: "kept", detail: "not begun: cancelled" };
      const { act, pending, ...planned } = await planUndo(engine, current, request.declaredOnly === true);
      // So that an index that somebody makes later under this name is never taken for this one.
      if (planned.action === "gone" && !act) await recorder.write(subject, "rolled_back");
      if (!act) return planned;
      // An interrupted drop looks like a failed build; only this ledger entry distinguishes them.
      if (pending !== undefined) {
        current = { ...entry, intent: pending, state: "started" };
        await recorder.write({ ...subject, intent: pending }, "started");
      }
      const kept = await act();
      if (kept !== undefined) {
        if (pending !== undefined) await recorder.write(subject, state);
        return { ...planned, action: "kept", detail: kept };
      }
      await recorder.write(subject, "rolled_back");
      if (planned.action === "gone") return { ...base, action: "gone" };
      if (planned.action !== "restore") return { ...base, action: "dropped" };
      await reclaim(engine, entry);
      return { ...planned, action: "restored" };
    } catch (error) {
      if (error instanceof OperatorError) throw error;
      const verdict = signal.aborted ? "fail" : await engine.recovery(error);
      if (verdict !== "fail" && attempt < MAX_ATTEMPTS) {
        await pause(RETRY_MS * attempt, signal);
        continue;
      }
      const reason = signal.aborted ? "cancelled; run the same command again to finish it" : messageOf(error);
      await stepBack(engine, entry, () => recorder.write(subject, state)).catch(() => undefined);
      return { ...base, action: "kept", detail: reason };
    }
  }
}

/** If the undo failed and the index is intact, restores its ledger entry. */
async function stepBack(engine: Engine, entry: LedgerEntry, write: () => Promise<void>): Promise<void> {
  if (entry.name === COLLECTION) return;
  if (entry.intent === "replace" || entry.intent === "restore")
    await engine.replacement.abandon(entry.target, entry.name);
  const made = findMade(await engine.observe(entry.target), entry);
  if (made.is === "there" && made.index.valid) await write();
}

/** If the keeper had made the restored index, claims it again and records its new identity in the ledger. */
async function reclaim(engine: Engine, { target, name, project }: LedgerEntry): Promise<void> {
  const before = currentEntries(await engine.ledger.read()).get(keyOf({ target, name }));
  if (before?.state !== "done" || (before.intent !== "create" && before.intent !== "replace")) return;
  const recorder = new Recorder(engine.ledger, project, before.runId);
  const { oid: _oid, ...known } = before;
  const made = findMade(await engine.observe(target), known);
  if (made.is !== "there") return;
  const { startedAt: _startedAt, finishedAt: _finishedAt, state: _state, ...subject } = before;
  const identity = await engine.claim(target, made.index.name, markOf(project, before.fingerprint));
  await recorder.write(subject, "done", identity, before);
}

/** The entries whose changes can be taken back, newest first; a collection comes after its indexes. */
async function undoableEntries(
  engines: readonly Engine[],
  project: string,
  request: RollbackRequest,
): Promise<EngineEntry[]> {
  const found: EngineEntry[] = [];
  const written: LedgerEntry[] = [];
  for (const engine of engines) {
    const entries = await engine.ledger.read();
    written.push(...entries.filter((entry) => entry.project === project && isChange(entry)));
    for (const entry of currentEntries(entries).values()) {
      if (isOwnWork(entry) && entry.project === project) found.push({ engine, entry });
    }
  }
  found.sort((a, b) => Number(a.entry.name === COLLECTION) - Number(b.entry.name === COLLECTION) || later(b, a));
  if (request.all === true) return found;
  if (request.index !== undefined) return found.filter(({ entry }) => entry.name === request.index);
  // Not the newest run that has something left: repeating the command would then walk back through history.
  const runId = request.runId ?? written.reduce<LedgerEntry | undefined>(newer, undefined)?.runId;
  return found.filter(({ entry }) => entry.runId === runId);
}

/** Does the entry record a change of an index, in whatever state it is by now? */
function isChange({ intent, name }: LedgerEntry): boolean {
  return name !== COLLECTION && intent !== "adopt";
}

function newer(a: LedgerEntry | undefined, b: LedgerEntry): LedgerEntry {
  return a !== undefined && a.startedAt >= b.startedAt ? a : b;
}

/** The newest run of a manifest that has something left to take back. */
export async function newestUndoableRun(options: OpenOptions): Promise<string | undefined> {
  return withEngines(options, "look", async ({ engines }) => {
    const left = await undoableEntries(engines, options.manifest.project, { all: true });
    return left.find(({ entry }) => entry.name !== COLLECTION)?.entry.runId;
  });
}

function later(a: EngineEntry, b: EngineEntry): number {
  return a.entry.startedAt < b.entry.startedAt ? -1 : a.entry.startedAt > b.entry.startedAt ? 1 : 0;
}
