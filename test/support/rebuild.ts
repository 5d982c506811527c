import type { Run } from "../../src/db/postgres/runs/run.ts";
import type { RebuildWish } from "../../src/db/postgres/runs/request.ts";
import { runInline } from "../../src/inline.ts";
import type { World } from "./world.ts";

/** Rebuilds a range in this process and returns the run as it ended. */
export function rebuild({ services }: World, wish: Pick<RebuildWish, "from" | "to" | "tenants">): Promise<Run> {
  const request = services.request({ kind: "backfill", inline: true, requestedBy: "test", ...wish });
  return runInline(services, request, new AbortController().signal, () => undefined);
}
