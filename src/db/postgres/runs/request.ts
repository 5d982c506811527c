import { createHash, randomUUID } from "node:crypto";
import type { Day } from "../../../usage/day.ts";
import { compareKeys } from "../../../usage/keys.ts";
import type { Priority, RunKind, RunRequest } from "./run.ts";

/** What somebody asks to be rebuilt. */
export interface RebuildWish {
  readonly kind: RunKind;
  readonly from: Day;
  readonly to: Day;
  /** undefined = every tenant */
  readonly tenants?: readonly string[] | undefined;
  readonly inline?: boolean;
  readonly reason?: string | undefined;
  readonly requestedBy: string;
  /** final days may be replaced although fewer events are left of them; needs a reason */
  readonly allowShrink?: boolean | undefined;
  readonly priority?: Priority | undefined;
  /** the run to take back, for an undo */
  readonly undoes?: string;
  /** what makes it the same request, where that is not its range: the occurrence of a schedule, the run to undo */
  readonly dedupeBy?: string;
}

/** A wish as a run, with the key that makes the same wish of ten processes one run. */
export function runRequest(wish: RebuildWish, settingsHash: string): RunRequest {
  const tenants = wish.tenants && [...new Set(wish.tenants)].sort(compareKeys);
  const who = tenants ? createHash("sha256").update(tenants.join("\0")).digest("hex") : "all";
  const how = wish.allowShrink ? ["shrink"] : [];
  const what = wish.dedupeBy ?? [wish.from, wish.to, who, settingsHash.slice(0, 16), ...how].join("|");
  return {
    id: randomUUID(),
    kind: wish.kind,
    inline: wish.inline ?? false,
    reason: wish.reason ?? null,
    requestedBy: wish.requestedBy,
    dedupeKey: [wish.kind, ...(wish.inline ? ["inline"] : []), what].join("|"),
    settingsHash,
    tenants,
    from: wish.from,
    to: wish.to,
    allowShrink: wish.allowShrink ?? false,
    priority: wish.priority ?? 0,
    undoes: wish.undoes ?? null,
  };
}
