import type { DryRun, DryRunInput, Forecast } from "../execution/dry-run.ts";
import type { Figures } from "../db/postgres/cache/rows.ts";
import { EXIT } from "../errors.ts";
import { formatCost, parseCost } from "../usage/decimal.ts";
import { needsOperator } from "../usage/finding.ts";
import { clipSpans } from "../usage/spans.ts";
import type { CommandContext } from "./command.ts";
import { blocks, type Lines } from "./lines.ts";
import { Bar } from "./progress.ts";
import { requireKnown, tenantFlags, requestOf, type RebuildOptions } from "./rebuild-options.ts";
import { findingLines } from "./finding-text.ts";
import { arrow, fact, table } from "./table.ts";

/** Computes in this process what a backfill would change, and prints it; writes nothing. @returns the exit code */
export async function printDryRun(options: RebuildOptions, context: CommandContext): Promise<number> {
  const { services, signal, answer } = context;
  const request = requestOf(options, services.today());
  const { tenants } = await services.source();
  const known = await tenants.findSpans(request.tenants ?? (await tenants.listAll(signal)), request, signal);
  if (request.tenants) await requireKnown(request.tenants, known, context, tenantFlags(options));
  const { dryRun } = await import("../execution/dry-run.ts");
  const { commandExecutor, commandLog } = await import("../execution/supply.ts");
  const bar = new Bar();
  let result: DryRun;
  try {
    const input: DryRunInput = {
      spans: clipSpans(known, request),
      tenants: request.tenants,
      known,
      allowShrink: request.allowShrink ?? false,
      concurrency: services.config.workerConcurrency,
      onProgress: (done, planned) => bar.show(done / planned, `${done}/${planned} tenant-days`),
    };
    result = await commandExecutor(services).execute(dryRun, input, { log: commandLog(services.log), signal });
  } finally {
    bar.end();
  }
  const totals = totalsOf(result.forecasts);
  answer({ ...result, totals }, dryRunText(result, totals));
  if (result.forecasts.some(({ outcome }) => outcome === "failed")) return EXIT.failed;
  return result.forecasts.length > 0 || needsOperator(result.finding) ? EXIT.found : EXIT.done;
}

interface Totals {
  readonly before: Figures;
  readonly after: Figures;
}

/** The sums over the tenant-days that would be written. */
function totalsOf(forecasts: readonly Forecast[]): Totals {
  const written = forecasts.filter(({ outcome }) => outcome === "new" || outcome === "changed");
  const sum = (side: "before" | "after"): Figures => {
    const texts = (name: keyof Figures) => written.map((forecast) => forecast[side]?.[name] ?? "0");
    const whole = (name: keyof Figures) => `${texts(name).reduce((total, text) => total + BigInt(text), 0n)}`;
    const cost = texts("cost").reduce((total, text) => total + parseCost(text), 0n);
    return { requests: whole("requests"), tokens: whole("tokens"), cost: formatCost(cost) };
  };
  return { before: sum("before"), after: sum("after") };
}

/** A dry run for a person: what would change of each tenant-day, then the sums. */
export function dryRunText({ planned, forecasts, finding }: DryRun, totals: Totals): Lines {
  if (finding) return ["Nothing would change.", ...fact("finding", findingLines(finding))];
  if (forecasts.length === 0) return [`Nothing would change: ${planned} tenant-days match their events.`];
  const count = (outcome: Forecast["outcome"]) => forecasts.filter((forecast) => forecast.outcome === outcome).length;
  const head = ["tenant", "day", "would be", "requests", "tokens", "cost"];
  const rows = forecasts.map(({ tenant, date, outcome, before, after, fell, error }) => {
    if (error !== undefined) return [tenant, date, `failed: ${error}`, null, null, null];
    const would = fell ? `${outcome}, ${fell.join(", ")} falls` : outcome;
    return [tenant, date, would, ...NAMES.map((name) => arrow(before?.[name], after?.[name]))];
  });
  const sums = ["total", "", "", ...NAMES.map((name) => arrow(totals.before[name], totals.after[name]))];
  const written = count("new") + count("changed");
  const summary =
    `Of ${planned} tenant-days ${written} would be written (${count("new")} new, ${count("changed")} changed), ` +
    `${count("refused")} refused, ${planned - forecasts.length} stay as they are, ${count("failed")} failed. Nothing was written.`;
  const fallen = forecasts.filter(({ fell }) => fell).length;
  const warning =
    fallen > 0
      ? [
          `${fallen} final days would have lower tokens or cost than before, and no fewer events: find out who replaced or edited their events.`,
        ]
      : [];
  return blocks(table(head, written > 0 ? [...rows, sums] : rows), [summary, ...warning]);
}

const NAMES = ["requests", "tokens", "cost"] as const satisfies readonly (keyof Figures)[];
