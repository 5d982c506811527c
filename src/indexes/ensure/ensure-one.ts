/** Brings one declared index into its declared state: look, decide, do one thing, look again. */
import { OperatorError } from "../../errors.ts";
import type { Observation } from "../decision/observation.ts";
import { pause } from "../engines/engine.ts";
import { fail } from "./clear-up.ts";
import { nextStep, type Look, type Step } from "./next-step.ts";
import type { EnsureOutcome } from "./outcome.ts";
import { perform, type Ensuring, type Progress } from "./perform.ts";

/** The last look at each target: enough to call the next index there "present", too old for any change. */
export type Seen = Map<string, Observation>;

const MAX_ATTEMPTS = 5;
/** Looks at one index before giving up, so that two processes that undo each other's work do not loop for ever. */
const MAX_LOOKS = 30;
const RETRY_FIRST_MS = 500;

/** @throws OperatorError for errors that concern the whole run, such as a server that does not answer */
export async function ensureOne(ensuring: Ensuring, seen: Seen): Promise<EnsureOutcome> {
  const { engine, recorder, target, signal } = ensuring;
  const progress: Progress = { action: "present" };
  let known = seen.get(target);
  let attempts = 0;
  for (let looks = 0; looks < MAX_LOOKS; looks += 1) {
    try {
      const view = known ?? (await engine.observe(target));
      const isFresh = known === undefined;
      known = undefined;
      seen.set(target, view);
      const step = await decide(ensuring, { target, view, isFresh });
      const outcome = await perform(ensuring, view, step, progress);
      if (outcome) return outcome;
    } catch (error) {
      recorder.forget();
      if (error instanceof OperatorError) throw error;
      const recovery = await engine.recovery(error);
      attempts += 1;
      if (signal.aborted || recovery === "fail" || attempts >= MAX_ATTEMPTS) {
        return fail(ensuring, progress.begun, error);
      }
      if (recovery === "retry") await pause(RETRY_FIRST_MS * 2 ** (attempts - 1) * (0.5 + Math.random()), signal);
    }
  }
  return {
    action: "failed",
    detail: "another process keeps changing this index; run ensure again when it has stopped",
  };
}

/**
 * Reads the ledger only where the step depends on it: a role that may not read it can still see that nothing is to do.
 */
async function decide(ensuring: Ensuring, look: Omit<Look, "entry">): Promise<Step> {
  const { recorder, target, index, mayReplace, mayCreateTarget, signal } = ensuring;
  const policy = { mayReplace, mayCreateTarget, isCancelled: signal.aborted };
  const step = nextStep({ ...look, entry: undefined }, index, policy);
  if (step.do !== "consult") return step;
  const entry = (await recorder.current(target, index.name)) ?? null;
  return nextStep({ ...look, entry }, index, policy);
}
