/** Performs one step for an index, and writes it into the ledger before and after. */
import { fingerprint } from "../decision/normal-form.ts";
import type { ActualIndex, Observation } from "../decision/observation.ts";
import type { DeclaredIndex, Engine } from "../engines/engine.ts";
import { objectionTo } from "../engines/objection.ts";
import type { LedgerEntry } from "../ledger/ledger.ts";
import { COLLECTION, markOf, type EntrySubject, type Recorder } from "../ledger/recorder.ts";
import type { Step } from "./next-step.ts";
import type { EnsureAction, EnsureOutcome } from "./outcome.ts";

/** One index with everything that works on it. */
export interface Ensuring {
  readonly engine: Engine;
  readonly recorder: Recorder;
  readonly target: string;
  readonly index: DeclaredIndex;
  readonly signal: AbortSignal;
  readonly mayReplace: boolean;
  /** may create a collection that does not exist */
  readonly mayCreateTarget: boolean;
}

/** What this run has done for the index so far. */
export interface Progress {
  action: EnsureAction;
  /** the change whose ledger entry says "started", and has to say "failed" if it fails */
  begun?: EntrySubject;
}

/** @returns the outcome if the index is done; undefined if there is a next step */
export async function perform(
  ensuring: Ensuring,
  view: Observation,
  step: Step,
  progress: Progress,
): Promise<EnsureOutcome | undefined> {
  const { engine, recorder, target, index } = ensuring;
  const { name } = index;
  switch (step.do) {
    case "look":
    case "consult":
      return undefined;
    case "done":
      return outcome(progress.action, step.as);
    case "adopt":
      await recorder.write(subjectOf(ensuring, view, "adopt"), "done");
      return outcome(progress.action, step.as);
    case "finish":
      return outcome(await finish(ensuring, view, step, progress), step.as);
    case "wait":
      await engine.waitForBuild(target, name);
      if (step.isOwn && progress.action === "present") progress.action = "adopted";
      return undefined;
    case "create": {
      const objection = await objectionTo(engine, { target, name, does: "create" });
      if (objection !== undefined) return { action: "failed", detail: objection };
      const obstacle = await obstacleTo(ensuring);
      if (obstacle) return obstacle;
      if (step.withTarget) await createTarget(ensuring);
      await begin(ensuring, progress, subjectOf(ensuring, view, "create"));
      await engine.create(target, name);
      if (progress.action !== "repaired") progress.action = "created";
      return undefined;
    }
    case "repair": {
      const objection = await objectionTo(engine, { target, name, does: "drop" });
      if (objection !== undefined) return { action: "failed", detail: `it is invalid. ${objection}` };
      progress.begun = subjectOf(ensuring, view, "create");
      await engine.dropInvalid(target, name);
      if (progress.action !== "created") progress.action = "repaired";
      return undefined;
    }
    case "finish drop": {
      progress.begun = subjectOf(ensuring, view, "drop");
      await engine.dropInvalid(target, name);
      const { startedAt: _startedAt, finishedAt: _finishedAt, state: _state, ...drop } = step.entry;
      await recorder.write(drop, "done", {}, step.entry);
      return { action: "dropped", detail: "an interrupted drop is now finished; run ensure again to build the index" };
    }
    case "replace": {
      const reason = await objectionTo(engine, { target, name, does: "replace", found: step.found });
      if (reason !== undefined) return { action: "different", detail: `${step.detail}. ${reason}` };
      const obstacle = await obstacleTo(ensuring, step.found);
      if (obstacle) return obstacle;
      await begin(ensuring, progress, subjectOf(ensuring, view, "replace", step.found.definition));
      await engine.replacement.perform(target, name, step.found);
      progress.action = "replaced";
      return undefined;
    }
    case "refuse":
      return { action: step.action, detail: step.detail };
  }
}

function outcome(action: EnsureAction, as: string | undefined): EnsureOutcome {
  return as === undefined ? { action } : { action, detail: `as ${as}` };
}

async function begin({ recorder }: Ensuring, progress: Progress, subject: EntrySubject): Promise<void> {
  progress.begun = subject;
  await recorder.write(subject, "started");
}

/** Why the index must not be built now; undefined if it may. */
async function obstacleTo(
  { engine, target, index }: Ensuring,
  found?: ActualIndex,
): Promise<EnsureOutcome | undefined> {
  const refusal = await engine.refusal(target, index.name, found);
  if (refusal !== undefined) return { action: "refused", detail: refusal };
  const duplicates = await engine.duplicates(target, index.name);
  return duplicates === undefined ? undefined : { action: "failed", detail: duplicates };
}

/** Completes the entry of an index made by an earlier process, or by this one before it lost its connection. */
async function finish(
  ensuring: Ensuring,
  view: Observation,
  { entry, as }: { readonly entry: LedgerEntry; readonly as?: string },
  { action }: Progress,
): Promise<EnsureAction> {
  const { engine, recorder, target, index } = ensuring;
  const name = as ?? index.name;
  if (entry.intent === "replace") await engine.replacement.finish(target, index.name);
  const made = view.actual.find((one) => one.name === name);
  const print = made ? fingerprint(made.ownForm ?? made.form) : entry.fingerprint;
  const identity = await engine.claim(target, name, markOf(entry.project, print));
  await recorder.write({ ...subjectOf(ensuring, view, entry.intent), fingerprint: print }, "done", identity, entry);
  // This run made it if the connection was lost after the build and before its reply.
  if (entry.runId !== recorder.runId || action !== "present") return action;
  return entry.intent === "replace" ? "replaced" : "created";
}

async function createTarget({ engine, recorder, target }: Ensuring): Promise<void> {
  const collection: EntrySubject = {
    target,
    name: COLLECTION,
    intent: "collection",
    fingerprint: "",
    definition: target,
  };
  await recorder.write(collection, "started");
  await engine.createTarget(target);
  await recorder.write(collection, "done");
}

function subjectOf(
  { engine, target, index }: Ensuring,
  view: Observation,
  intent: EntrySubject["intent"],
  previous?: string,
): EntrySubject {
  const declared = view.declared.get(index.name);
  const print = declared === undefined || declared instanceof Error ? "" : fingerprint(declared.form);
  const definition = engine.definition(target, index.name);
  return { target, name: index.name, intent, fingerprint: print, definition, ...(previous ? { previous } : {}) };
}
