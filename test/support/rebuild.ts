import type { Run } from "../../src/db/postgres/runs/run.ts";
import type { RunRequest } from "../../src/db/postgres/runs/request.ts";
import { runInline } from "../../src/execution/inline.ts";
import type { World } from "./world.ts";

/** Rebuilds a range in this process and returns the run as it ended. */
export function rebuild({ services }: World, wish: Pick<RunRequest, "from" | "to" | "tenants">): Promise<Run> {
  const request: RunRequest = { kind: "backfill", requestedBy: "test", ...wish };
  return runInline(services, request, new AbortController().signal, () => undefined);
}
