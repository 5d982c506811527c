/** Drops the windows before the one in force, once that one is there and proven. */
import type { Proof } from "./engine.ts";
import type { Outcome, Step } from "./ensure-one.ts";
import { fingerprint } from "./plan.ts";
import { isOlderWindow, type Window } from "./rolling.ts";

/** What became of an older window. */
export type Retired = Outcome & { readonly name: string };

/** Only windows that the keeper made; another of that name stays. */
export async function retireWindows(step: Step, window: Window, prove: Proof | undefined): Promise<Retired[]> {
  const { engine, recorder, target } = step;
  const older = (await engine.observe(target)).actual.filter(({ name }) => isOlderWindow(name, window));
  if (older.length === 0) return [];
  const fault = await prove?.(target, window.name);
  const retired: Retired[] = [];
  for (const { name, shape, definition = "" } of older) {
    const newest = await recorder.newest(target, name);
    if (!newest || newest.intent === "adopt") {
      retired.push({ name, action: "present", detail: "an older window that the keeper did not make: left alone" });
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
