/** Brings one declared index into being: look, decide, do one thing, look again. */
import { OperatorError } from "../../errors.ts";
import { messageOf, pause, type DeclaredIndex, type Engine, type Observation } from "../engines/engine.ts";
import { decide, fingerprint, type ActualIndex, type Decision } from "../decision/decide.ts";
import { COLLECTION, markOf, type EntrySubject, type Recorder } from "../ledger/recorder.ts";

export interface EnsureOutcome {
  /**
   * `present`: nothing to do. `adopted`: another session was building it, and did. `repaired`: an invalid leftover was
   * replaced. `replaced`: it took the place of one with another definition. `dropped`: a drop that had been interrupted
   * was finished. `retired`: an older window went, since the one in force is there. `refused`: the build would block
   * writers. `different`: the name, or an index the server holds for the same, has another definition. The last two,
   * `dropped` and `failed` leave the index wanting.
   */
  readonly action:
    | "present"
    | "created"
    | "adopted"
    | "repaired"
    | "replaced"
    | "dropped"
    | "retired"
    | "refused"
    | "different"
    | "failed";
  readonly detail?: string;
}

/** One index, and what may be done for it. */
export interface Ensuring {
  readonly engine: Engine;
  readonly recorder: Recorder;
  readonly target: string;
  readonly index: DeclaredIndex;
  readonly signal: AbortSignal;
  readonly mayReplace: boolean;
  /** a collection that does not exist is made */
  readonly mayCreateTarget: boolean;
}

/** The last look at each target, good for saying "present" of the next index there and for nothing else. */
export type Seen = Map<string, Observation>;

const MAX_ATTEMPTS = 5;
/** Looks at one index before giving up: two processes that undo each other's work must not keep this one for ever. */
const MAX_LOOKS = 30;
const RETRY_FIRST_MS = 500;

/** @throws OperatorError for what concerns the whole run, such as a server that does not answer */
export async function ensureOne(step: Ensuring, seen: Seen): Promise<EnsureOutcome> {
  const { engine, recorder, target, index, signal } = step;
  const { name } = index;
  let last = seen.get(target);
  let action: EnsureOutcome["action"] = "present";
  let attempts = 0;
  let begun: EntrySubject | undefined;
  for (let looks = 0; looks < MAX_LOOKS; looks += 1) {
    try {
      const view: Observation = last ?? (await engine.observe(target));
      const isFresh = last === undefined;
      last = undefined;
      seen.set(target, view);
      const decision = view.isMissing ? missing(step, view) : conclude(view, index);
      if ("state" in decision && decision.state === "present") {
        return await present(step, view, action, decision.otherName);
      }
      if (!isFresh) continue;
      if ("action" in decision && !(decision.found && step.mayReplace)) return outcomeOf(decision);
      if (signal.aborted) return { action: "failed", detail: "cancelled" };
      if (view.busy || ("state" in decision && decision.state === "building")) {
        await engine.waitForBuild(target, name);
        if ("state" in decision && decision.state === "building" && action === "present") action = "adopted";
      } else if ("action" in decision) {
        if (!decision.found) return outcomeOf(decision);
        const obstacle = engine.irreplaceable(target, name, decision.found);
        if (obstacle !== undefined) return { action: "different", detail: `${decision.detail ?? ""}. ${obstacle}` };
        const refusal = await preflight(step, decision.found);
        if (refusal) return refusal;
        begun = subjectOf(step, view, "replace", decision.found.definition);
        await recorder.write(begun, "started");
        await engine.replace(target, name, decision.found);
        action = "replaced";
      } else if (decision.state === "invalid") {
        const newest = await recorder.current(target, name);
        const isDrop = newest?.intent === "drop" && newest.state === "started";
        begun = subjectOf(step, view, isDrop ? "drop" : "create");
        await engine.dropInvalid(target, name);
        if (isDrop) {
          const { startedAt: _startedAt, finishedAt: _finishedAt, state: _state, ...drop } = newest;
          await recorder.write(drop, "done", {}, newest);
          return { action: "dropped", detail: "a drop that was interrupted is finished; the next run builds it again" };
        }
        action = action === "created" ? "created" : "repaired";
      } else {
        const refusal = await preflight(step);
        if (refusal) return refusal;
        if (view.isMissing) await createTarget(step);
        begun = subjectOf(step, view, "create");
        await recorder.write(begun, "started");
        await engine.create(target, name);
        if (action !== "repaired") action = "created";
      }
    } catch (error) {
      recorder.forget();
      if (error instanceof OperatorError) throw error;
      const verdict = await engine.recovery(error);
      attempts += 1;
      if (signal.aborted || verdict === "fail" || attempts >= MAX_ATTEMPTS) return fail(step, begun, error);
      if (verdict === "retry") await pause(RETRY_FIRST_MS * 2 ** (attempts - 1) * (0.5 + Math.random()), signal);
    }
  }
  return { action: "failed", detail: "it does not settle: something else changes this index at the same time" };
}

/** Why it is not to be built now. */
async function preflight({ engine, target, index }: Ensuring, found?: ActualIndex): Promise<EnsureOutcome | undefined> {
  const refusal = await engine.refusal(target, index.name, found);
  if (refusal !== undefined) return { action: "refused", detail: refusal };
  const duplicates = await engine.duplicates(target, index.name);
  return duplicates === undefined ? undefined : { action: "failed", detail: duplicates };
}

/** It is there: writes down whose it is, and what an earlier process left unfinished is finished. */
async function present(
  step: Ensuring,
  view: Observation,
  action: EnsureOutcome["action"],
  otherName: string | undefined,
): Promise<EnsureOutcome> {
  const { engine, recorder, target, index } = step;
  const detail = otherName === undefined ? {} : { detail: `as ${otherName}` };
  if (index.checked || index.constraint !== undefined) return { action, ...detail };
  const newest = await recorder.current(target, index.name);
  const isUnfinished = newest?.state === "started" && (newest.intent === "create" || newest.intent === "replace");
  // An equal one under a name of somebody else's is somebody else's, whatever was begun under this name.
  const isForeign = otherName !== undefined && view.rules.isVersion?.(otherName, index.name) !== true;
  if (isUnfinished && !isForeign) {
    if (newest.intent === "replace") await engine.finishReplace(target, index.name);
    const made = view.actual.find(({ name }) => name === (otherName ?? index.name));
    const print = made ? fingerprint(made.ownForm ?? made.form) : newest.fingerprint;
    const identity = await engine.claim(target, otherName ?? index.name, markOf(newest.project, print));
    await recorder.write({ ...subjectOf(step, view, newest.intent), fingerprint: print }, "done", identity, newest);
    // The connection may have gone after the end of a build, before the word of it.
    const isOwn = newest.runId === recorder.runId && action === "present";
    return { action: isOwn ? (newest.intent === "replace" ? "replaced" : "created") : action, ...detail };
  }
  if (!newest || newest.state === "rolled_back" || newest.state === "failed" || isUnfinished) {
    await recorder.write(subjectOf(step, view, "adopt"), "done");
  }
  return { action, ...detail };
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

/** After a failed change: an invalid index costs every write, and a unique one goes on refusing rows. */
async function fail(step: Ensuring, begun: EntrySubject | undefined, error: unknown): Promise<EnsureOutcome> {
  const { engine, recorder, target, index, signal } = step;
  const reason = signal.aborted ? "cancelled" : messageOf(error);
  if (!begun) return { action: "failed", detail: reason };
  const left = await clearUp(step, begun);
  // What came in after the look before the build: the server names one key at most.
  const duplicates = signal.aborted ? undefined : await engine.duplicates(target, index.name).catch(() => undefined);
  const detail = [duplicates ?? reason, ...(left === undefined ? [] : [left])].join("; ");
  // What may be there stays "started", so that the next run finishes it.
  if (left === undefined) await recorder.write(begun, "failed", { error: detail }).catch(() => undefined);
  return { action: "failed", detail };
}

/** Answers what stays. */
async function clearUp({ engine, target, index }: Ensuring, begun: EntrySubject): Promise<string | undefined> {
  try {
    const view = await engine.observe(target);
    if (!view.isMissing && begun.intent === "replace") await engine.abandonReplace(target, index.name);
    const decision = conclude(view, index);
    if (!("state" in decision)) return undefined;
    if (decision.state === "invalid") await engine.dropInvalid(target, index.name);
    if (decision.state === "building") return "it is still being built; the next run looks after it";
    return decision.state === "present" ? "it is there all the same; the next run finishes the work" : undefined;
  } catch (error) {
    return `an invalid index may be left, which the next run repairs (${messageOf(error)})`;
  }
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

type Open = Exclude<Decision, { state: "different" | "absent" }>;
type Closed = EnsureOutcome & { readonly found?: ActualIndex };

function outcomeOf({ action, detail }: Closed): EnsureOutcome {
  return { action, ...(detail === undefined ? {} : { detail }) };
}

/** Of a table or collection that does not exist. */
function missing({ index, mayCreateTarget, target }: Ensuring, view: Observation): Open | Closed {
  if (view.unusable !== undefined) return { action: "failed", detail: view.unusable };
  if (mayCreateTarget) return conclude(view, index);
  return { action: "failed", detail: `there is no collection ${target}; a manifest with createCollections makes it` };
}

/** What to do about one index, or the outcome if there is nothing to be done. */
function conclude({ unusable, actual, declared, rules }: Observation, index: DeclaredIndex): Open | Closed {
  if (unusable !== undefined) return { action: "failed", detail: unusable };
  const wanted = declared.get(index.name);
  if (!wanted || wanted instanceof Error) {
    return { action: "failed", detail: wanted?.message ?? "it is not declared" };
  }
  const decision = decide(wanted, actual, rules);
  if (decision.state === "different") {
    const { detail, found } = decision;
    const isUsable = found?.valid === true && !found.building && !index.checked;
    return { action: "different", detail, ...(isUsable ? { found } : {}) };
  }
  if (decision.state === "absent") {
    const detail = `the ${wanted.constraint ?? ""} constraint is missing; it belongs to a migration`;
    return { action: "failed", detail };
  }
  if (index.checked && (decision.state === "create" || decision.state === "invalid")) {
    const what = decision.state === "create" ? "missing" : "invalid";
    return { action: "failed", detail: `it is ${what}, and only checked here: it belongs to somebody else` };
  }
  return decision;
}
