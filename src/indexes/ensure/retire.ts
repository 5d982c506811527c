/** Drops older windows of a rolling index once the current window exists and is proven. */
import type { Proof } from "../engines/engine.ts";
import { objectionTo } from "../engines/objection.ts";
import type { EnsureOutcome } from "./outcome.ts";
import type { Ensuring } from "./perform.ts";
import { isOlderWindow, type Window } from "../manifest/rolling.ts";
import { isOwnWork } from "../ledger/ledger.ts";
import { findMade, type Made } from "../rollback/undo.ts";
import { fingerprint, sameForm } from "../decision/normal-form.ts";
import type { ActualIndex } from "../decision/observation.ts";

/** The outcome for an older window. */
export type Retired = EnsureOutcome & { readonly name: string };

/** Drops only windows that the keeper made; a foreign index of such a name stays. */
export async function retireWindows(step: Ensuring, window: Window, prove: Proof | undefined): Promise<Retired[]> {
  const { engine, recorder, target } = step;
  const view = await engine.observe(target);
  const wanted = view.declared.get(window.name);
  // After a change of `keep`, an older window may have the bound of the current one. Then queries use it, so it stays.
  const serves = ({ form }: ActualIndex) => wanted && !(wanted instanceof Error) && sameForm(form, wanted.form);
  const older = view.actual.filter((index) => isOlderWindow(index.name, window) && !serves(index));
  if (older.length === 0) return [];
  const fault = await prove?.(target, window.name);
  const retired: Retired[] = [];
  for (const found of older) {
    const { name, form, definition = "" } = found;
    const newest = await recorder.current(target, name);
    const isOwn = newest !== undefined && isOwnWork(newest);
    const made: Made = isOwn ? findMade(view, newest) : { is: "kept", why: "the keeper did not make it" };
    const objection = made.is === "there" && (await objectionTo(engine, { target, name, does: "drop", found }));
    if (made.is !== "there" || objection) {
      const why = objection || (made.is === "kept" ? made.why : "it does not exist any more");
      retired.push({ name, action: "present", detail: `an older window that the keeper does not drop: ${why}` });
    } else if (fault !== undefined) {
      retired.push({
        name,
        action: "failed",
        detail: `kept, since ${window.name} does not serve its contracts: ${fault}`,
      });
    } else {
      const subject = { target, name, intent: "drop", fingerprint: fingerprint(form), definition } as const;
      await recorder.write(subject, "started");
      await engine.drop(target, name);
      await recorder.write(subject, "done");
      retired.push({ name, action: "retired", detail: `${window.name} took its place` });
    }
  }
  return retired;
}
