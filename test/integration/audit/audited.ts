import { auditRange, type AuditReport, type AuditRequest } from "../../../src/audit/audit.ts";
import type { AuditContext } from "../../../src/audit/check.ts";
import { jobContext } from "../../support/job-context.ts";
import type { World } from "../../support/world.ts";

/** What an audit in this process works with. */
export async function auditContext({ services }: World): Promise<AuditContext> {
  return jobContext(services);
}

/** Audits a range in this process. */
export async function audit(
  world: World,
  wish: Partial<AuditRequest> & { readonly tenants?: readonly string[] } & Pick<AuditRequest, "from" | "to">,
  differs: Partial<AuditContext> = {},
): Promise<AuditReport> {
  const context = { ...(await auditContext(world)), ...differs };
  const { tenants, signal } = context;
  const known = await tenants.findSpans(wish.tenants ?? (await tenants.listAll(signal)), wish, signal);
  const full = { deep: false, allStates: false, requestedBy: "test", ...wish };
  return auditRange(full, known, context, 2, () => undefined);
}
