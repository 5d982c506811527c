import type { Command } from "commander";
import type { AuditReport, AuditRequest } from "../audit/audit.ts";
import type { AuditContext } from "../audit/check.ts";
import { EXIT, UnreachableError } from "../errors.ts";
import { needsOperator } from "../usage/finding.ts";
import type { Day } from "../usage/day.ts";
import { AUDITING } from "../task/context.ts";
import { defineTask } from "../task/job.ts";
import { repair, type Repair } from "./audit-repair.ts";
import { auditText } from "./audit-text.ts";
import { action, checkRange, collectTenant, createCommand, defaultRequester, parseDay } from "./command.ts";
import type { CommandContext } from "./command.ts";
import { Bar } from "./progress.ts";
import { requireKnown } from "./rebuild-options.ts";
import { complain } from "./terminal.ts";

const EXAMPLE = "tallyman audit --from 2026-10-01 --to 2026-10-31 --deep --repair";

interface AuditOptions {
  readonly from: Day;
  readonly to: Day;
  readonly tenant?: readonly string[];
  readonly deep?: true;
  readonly repair?: true;
  readonly allStates?: true;
  readonly by?: string;
}

/** `audit`: compares rows with the events they sum up. */
export function auditCommand(): Command {
  return createCommand("audit", "Compare rows with their events, day by day.", EXAMPLE)
    .requiredOption("--from <day>", "first day, YYYY-MM-DD", parseDay)
    .requiredOption("--to <day>", "last day, included; today at the latest", parseDay)
    .option("--tenant <id>", "only this tenant; may be given more than once", collectTenant)
    .option("--deep", "compare documents too, not sums alone, and count the events that no rebuild can see")
    .option("--all-states", "audit days that are not final too")
    .option("--repair", "rebuild what differs, here and now")
    .option("--by <name>", "who asks, for the audit's record (default: user@host)")
    .action(
      action<AuditOptions>(async (options, context) => {
        const { services, signal, answer } = context;
        checkRange(options.from, options.to, services.today());
        const request: AuditRequest = {
          from: options.from,
          to: options.to,
          deep: options.deep ?? false,
          allStates: options.allStates ?? false,
          tenants: options.tenant,
          requestedBy: options.by ?? defaultRequester(),
        };
        const { commandExecutor, commandLog } = await import("../execution/supply.ts");
        const session = await services.session();
        let recorded = "nothing was recorded";
        try {
          const onRecorded = () => (recorded = "the audit is recorded, and workers finish its repair");
          const input = { request, options, command: context, onRecorded };
          const given = { log: commandLog(services.log), signal };
          const { report, repaired } = await commandExecutor(services).execute(auditTask, input, given);
          const { drift, pending, failed, ...audit } = report;
          const facts = { deep: request.deep, allStates: request.allStates, requestedBy: request.requestedBy };
          answer(
            { audit: { ...audit, ...facts }, drift, pending, failed, repair: repaired },
            auditText(report, request, repaired),
          );
          return exitCodeOf(report, repaired);
        } catch (error) {
          if (signal.aborted) {
            complain(`interrupted; ${recorded}.`);
            return EXIT.failed;
          }
          if (!session.lost.aborted) throw error;
          throw new UnreachableError(
            `The connection to PostgreSQL that holds this process's locks was lost; ${recorded}. Run the command again.`,
            { cause: error },
          );
        }
      }),
    );
}

/** Audits a range, and repairs its drift if asked to. */
const auditTask = defineTask({
  name: "audit",
  needs: AUDITING,
  async run({ request, options, command, onRecorded }: AuditInput, context): Promise<Audited> {
    const report = await auditTenants(request, context, command);
    onRecorded();
    return { report, repaired: options.repair ? await repair(report, request, context, command) : null };
  },
});

interface AuditInput {
  readonly request: AuditRequest;
  readonly options: AuditOptions;
  readonly command: CommandContext;
  /** called when the audit is recorded and its repair begins */
  readonly onRecorded: () => void;
}

interface Audited {
  readonly report: AuditReport;
  readonly repaired: Repair | null;
}

async function auditTenants(
  request: AuditRequest,
  context: AuditContext,
  command: CommandContext,
): Promise<AuditReport> {
  const { tenants, signal } = context;
  const { auditRange } = await import("../audit/audit.ts");
  const concurrency = command.services.config.workerConcurrency;
  const known = await tenants.findSpans(request.tenants ?? (await tenants.listAll(signal)), request, signal);
  if (request.tenants) await requireKnown(request.tenants, known, command);
  const bar = new Bar();
  const startedAt = Date.now();
  try {
    return await auditRange(request, known, context, concurrency, (done, total) => {
      const secondsLeft = Math.ceil(((Date.now() - startedAt) / 1_000 / done) * (total - done));
      bar.show(done / total, `${done}/${total} tenant-days, ${secondsLeft} s left`);
    });
  } finally {
    bar.end();
  }
}

/** Unreadable tenant-days fail the audit; repaired ones do not count as drift. */
function exitCodeOf({ days, failed, finding }: AuditReport, repaired: Repair | null): number {
  if (failed.length > 0 || repaired?.run.state === "failed") return EXIT.failed;
  if (repaired) return repaired.remaining.length > 0 || repaired.left > 0 ? EXIT.found : EXIT.done;
  return days.drifted + days.missing > 0 || needsOperator(finding) ? EXIT.found : EXIT.done;
}
