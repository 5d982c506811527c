/**
 * Takes back what a run of the keeper did, and nothing else: an index goes only if the ledger says that the keeper made
 * it and the database still has that very one. What it found is never touched; what it replaced comes back.
 */
import { UsageError } from "../errors.ts";
import type { Engine, EngineName, Observation } from "./engine.ts";
import type { LedgerEntry } from "./ledger.ts";
import { withEngines, type OpenOptions } from "./open.ts";
import { decide, fingerprint, type ActualIndex } from "./plan.ts";
import { COLLECTION, Recorder } from "./recorder.ts";

/** What becomes, or became, of one deed. */
export interface UndoneEntry {
  readonly engine: EngineName;
  readonly target: string;
  /** "" is the collection itself */
  readonly name: string;
  readonly runId: string;
  /** `drop`, `restore`: what is to be done, and after it `dropped`, `restored`. `gone`: not there any more. */
  readonly action: "drop" | "restore" | "dropped" | "restored" | "gone" | "kept";
  readonly detail?: string;
}

/** Which deeds are meant. Without either: those of the newest run that has any left. */
export interface RollbackWish {
  readonly runId?: string;
  readonly index?: string;
  /** of every run of this manifest */
  readonly all?: boolean;
}

/** What a rollback would do, newest deed first. Changes nothing. */
export async function planRollback(options: OpenOptions, wish: RollbackWish): Promise<readonly UndoneEntry[]> {
  return withEngines(options, "look", async ({ engines }) => {
    const found: UndoneEntry[] = [];
    for (const { engine, entry } of await deeds(engines, options.manifest.project, wish)) {
      const { act: _act, ...planned } = await judge(engine, entry);
      found.push(planned);
    }
    return found;
  });
}

/** @throws UsageError, LockedError, UnreachableError; what could not be taken back is `kept`, with the reason */
export async function rollbackIndexes(options: OpenOptions, wish: RollbackWish): Promise<readonly UndoneEntry[]> {
  return withEngines(options, "change", async ({ engines, signal }) =>
    undo(await deeds(engines, options.manifest.project, wish), signal),
  );
}

/** Takes back one run under a lock that is held already. */
export async function undoRun(engines: readonly Engine[], project: string, runId: string): Promise<UndoneEntry[]> {
  return undo(await deeds(engines, project, { runId }));
}

interface EngineDeed {
  readonly engine: Engine;
  readonly entry: LedgerEntry;
}

async function undo(wanted: readonly EngineDeed[], signal?: AbortSignal): Promise<UndoneEntry[]> {
  const undone: UndoneEntry[] = [];
  for (const { engine, entry } of wanted) {
    const { act, ...planned } = await judge(engine, entry);
    if (signal?.aborted || !act) {
      undone.push(signal?.aborted ? { ...planned, action: "kept", detail: "cancelled" } : planned);
      continue;
    }
    const recorder = new Recorder(engine, entry.project, entry.runId);
    const { startedAt: _s, finishedAt: _f, state: _state, ...deed } = entry;
    // A drop that is interrupted leaves what looks like a build that failed; only this line tells them apart.
    if (planned.action === "drop") await recorder.write({ ...deed, intent: "drop" }, "started");
    const kept = await act();
    if (kept === undefined) await recorder.write(deed, "rolled_back");
    else if (planned.action === "drop") await recorder.write(deed, "done");
    const action = kept !== undefined ? "kept" : planned.action === "drop" ? "dropped" : "restored";
    undone.push({ ...planned, action, ...(kept === undefined ? {} : { detail: kept }) });
  }
  return undone;
}

/** The deeds that can be taken back, newest first; a collection after its indexes. */
async function deeds(engines: readonly Engine[], project: string, wish: RollbackWish): Promise<EngineDeed[]> {
  const found: EngineDeed[] = [];
  for (const engine of engines) {
    const entries = await engine.ledger.read();
    const newest = new Map(entries.map((entry) => [`${entry.target}\0${entry.name}`, entry]));
    for (const entry of newest.values()) {
      const isDone = entry.state === "done" || entry.state === "started";
      const isDeed = entry.intent !== "adopt" && (entry.intent !== "drop" || entry.state === "started");
      if (isDone && isDeed && entry.project === project) found.push({ engine, entry });
    }
  }
  found.sort((a, b) => Number(a.entry.name === COLLECTION) - Number(b.entry.name === COLLECTION) || later(b, a));
  if (wish.all === true) return found;
  if (wish.index !== undefined) return found.filter(({ entry }) => entry.name === wish.index);
  const runId = wish.runId ?? found.filter(({ entry }) => entry.name !== COLLECTION).at(0)?.entry.runId;
  if (wish.runId !== undefined && found.every(({ entry }) => entry.runId !== wish.runId)) {
    throw new UsageError(`run ${wish.runId} has left nothing to take back in these databases`);
  }
  return found.filter(({ entry }) => entry.runId === runId);
}

function later(a: EngineDeed, b: EngineDeed): number {
  return a.entry.startedAt < b.entry.startedAt ? -1 : a.entry.startedAt > b.entry.startedAt ? 1 : 0;
}

type Judged = UndoneEntry & { readonly act?: () => Promise<string | undefined> };

/** What there is to do about one deed, given what the database has now. */
async function judge(engine: Engine, entry: LedgerEntry): Promise<Judged> {
  const { target, name, runId, intent, fingerprint: made } = entry;
  const base = { engine: engine.name, target, name, runId };
  if (intent === "collection") {
    return { ...base, action: "drop", detail: "if it is empty", act: () => engine.dropTarget(target) };
  }
  if (!engine.targets.get(target)?.some((index) => index.name === name)) {
    return { ...base, action: "kept", detail: "the manifest, or the part that was asked for, does not have it" };
  }
  const view = await engine.observe(target);
  if (view.unusable !== undefined || view.isMissing) return { ...base, action: "gone", detail: view.unusable ?? "" };
  const found = findMade(view, entry, new Recorder(engine, entry.project, runId).mark(made));
  if (!found) return { ...base, action: "gone" };
  if (typeof found === "string") return { ...base, action: "kept", detail: found };
  if (intent === "replace" && entry.previous !== undefined) {
    const act = async () => {
      await engine.restore(entry);
      return undefined;
    };
    return { ...base, action: "restore", detail: entry.previous, act };
  }
  const act = async () => {
    await engine.drop(target, found.name);
    return undefined;
  };
  return { ...base, action: "drop", act };
}

/** The index that the deed made; a text tells why what is there is not that one. */
function findMade(view: Observation, entry: LedgerEntry, mark: string): ActualIndex | string | undefined {
  const { name, oid } = entry;
  const named =
    view.actual.find((index) => index.name === name) ??
    view.actual.find((index) => index.name.startsWith(`${name}__`) && fingerprint(index.shape) === entry.fingerprint);
  if (!named) return undefined;
  if (named.building) return "it is being built at this moment";
  if (named.constraint !== undefined) return `a ${named.constraint} constraint needs it`;
  const declared = view.declared.get(name);
  const isDeclared = declared && !(declared instanceof Error) && decide(declared, [named]).state !== "different";
  const isSame = fingerprint(named.shape) === entry.fingerprint || (isDeclared && !named.valid);
  if (!isSame) return "it has another definition by now";
  // Rebuilt by REINDEX it has another identity and the same mark.
  if (oid !== undefined && named.oid !== oid && named.mark !== mark) return "it was made anew by somebody else";
  return named;
}
