/** Clears up after a failed change: every write pays for an invalid index, and a unique one goes on refusing rows. */
import { stateOf } from "../decision/state.ts";
import { messageOf } from "../engines/engine.ts";
import type { EntrySubject } from "../ledger/recorder.ts";
import type { EnsureOutcome } from "./outcome.ts";
import type { Ensuring } from "./perform.ts";

/** @param begun the change that failed; undefined if none had begun */
export async function fail(
  ensuring: Ensuring,
  begun: EntrySubject | undefined,
  error: unknown,
): Promise<EnsureOutcome> {
  const { engine, recorder, target, index, signal } = ensuring;
  const reason = signal.aborted ? "cancelled" : messageOf(error);
  if (!begun) return { action: "failed", detail: reason };
  const left = await clearUp(ensuring, begun);
  // Duplicates that arrived after the check before the build; the server's own error names one key at most.
  const duplicates = signal.aborted ? undefined : await engine.duplicates(target, index.name).catch(() => undefined);
  const detail = [duplicates ?? reason, ...(left === undefined ? [] : [left])].join("; ");
  // If something may be left, the entry stays "started", so that the next run finishes it.
  if (left === undefined) await recorder.write(begun, "failed", { error: detail }).catch(() => undefined);
  return { action: "failed", detail };
}

/** @returns what is left, for a person */
async function clearUp({ engine, target, index }: Ensuring, begun: EntrySubject): Promise<string | undefined> {
  try {
    const view = await engine.observe(target);
    if (!view.isMissing && begun.intent === "replace") await engine.replacement.abandon(target, index.name);
    const { state } = stateOf(view, index.name);
    if (state === "invalid" && !index.checked) await engine.dropInvalid(target, index.name);
    if (state === "invalid" || state === "missing") await engine.sweep?.(target, index.name);
    if (state === "building") return "the server is still building it; the next run completes the ledger";
    return state === "present" ? "the index exists nevertheless; the next run completes the ledger" : undefined;
  } catch (error) {
    return `the next run repairs the invalid index that may be left (${messageOf(error)})`;
  }
}
