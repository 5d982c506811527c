/** After a change that failed: an invalid index costs every write, and a unique one goes on refusing rows. */
import { stateOf } from "../decision/state.ts";
import { messageOf } from "../engines/engine.ts";
import type { EntrySubject } from "../ledger/recorder.ts";
import type { EnsureOutcome } from "./outcome.ts";
import type { Ensuring } from "./perform.ts";

/** @param begun the change; undefined where nothing had begun */
export async function fail(
  ensuring: Ensuring,
  begun: EntrySubject | undefined,
  error: unknown,
): Promise<EnsureOutcome> {
  const { engine, recorder, target, index, signal } = ensuring;
  const reason = signal.aborted ? "cancelled" : messageOf(error);
  if (!begun) return { action: "failed", detail: reason };
  const left = await clearUp(ensuring, begun);
  // What came in after the look before the build: the server names one key at most.
  const duplicates = signal.aborted ? undefined : await engine.duplicates(target, index.name).catch(() => undefined);
  const detail = [duplicates ?? reason, ...(left === undefined ? [] : [left])].join("; ");
  // What may be there stays "started", so that the next run finishes it.
  if (left === undefined) await recorder.write(begun, "failed", { error: detail }).catch(() => undefined);
  return { action: "failed", detail };
}

/** @returns what stays, for a person */
async function clearUp({ engine, target, index }: Ensuring, begun: EntrySubject): Promise<string | undefined> {
  try {
    const view = await engine.observe(target);
    if (!view.isMissing && begun.intent === "replace") await engine.replacement.abandon(target, index.name);
    const { state } = stateOf(view, index.name);
    if (state === "invalid" && !index.checked) await engine.dropInvalid(target, index.name);
    if (state === "building") return "it is still being built; the next run looks after it";
    return state === "present" ? "it is there all the same; the next run finishes the work" : undefined;
  } catch (error) {
    return `an invalid index may be left, which the next run repairs (${messageOf(error)})`;
  }
}
