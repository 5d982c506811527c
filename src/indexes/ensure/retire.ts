/** Drops the windows before the one in force, once that one is there and proven. */
import type { Proof } from "../engines/engine.ts";
import type { Outcome, Step } from "./ensure-one.ts";
import { fingerprint, sameShape, type ActualIndex } from "../decision/decide.ts";
import { isOlderWindow, type Window } from "../manifest/rolling.ts";
import { findMade } from "../rollback/undo.ts";

/** What became of an older window. */
export type Retired = Outcome & { readonly name: string };

/** Only windows that the keeper made; another of that name stays. */
export async function retireWindows(step: Step, window: Window, prove: Proof | undefined): Promise<Retired[]> {
  const { engine, recorder, target } = step;
  const view = await engine.observe(target);
  const wanted = view.declared.get(window.name);
  // With another `keep`, the last window may have the bound of this one, and then it is the one that serves.
  const serves = ({ shape }: ActualIndex) => wanted && !(wanted instanceof Error) && sameShape(shape, wanted.shape);
  const older = view.actual.filter((index) => isOlderWindow(index.name, window) && !serves(index));
  if (older.length === 0) return [];
  const fault = await prove?.(target, window.name);
  const retired: Retired[] = [];
  for (const { name, shape, definition = "" } of older) {
    const newest = await recorder.newest(target, name);
    const isOpen = newest?.state === "started" || (newest?.state === "done" && newest.intent !== "drop");
    const made = isOpen && newest.intent !== "adopt" ? findMade(view, newest) : "the keeper did not make it";
    if (typeof made !== "object") {
      retired.push({ name, action: "present", detail: `an older window that is left alone: ${made ?? "it is gone"}` });
    } else if (fault !== undefined) {
      retired.push({ name, action: "failed", detail: `kept, since ${window.name} is not proven: ${fault}` });
    } else {
      const deed = { target, name, intent: "drop", fingerprint: fingerprint(shape), definition } as const;
      await recorder.write(deed, "started");
      await engine.drop(target, name);
      await recorder.write(deed, "done");
      retired.push({ name, action: "retired", detail: `${window.name} took its place` });
    }
  }
  return retired;
}
