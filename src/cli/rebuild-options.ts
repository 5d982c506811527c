import { readFileSync } from "node:fs";
import { InvalidArgumentError, Option, type Command } from "commander";
import type { RunRequest } from "../db/postgres/runs/request.ts";
import type { Priority } from "../db/postgres/runs/run.ts";
import { UsageError } from "../errors.ts";
import type { Day } from "../usage/day.ts";
import type { Finding } from "../usage/finding.ts";
import { checkRange, collectTenant, defaultRequester, parseDay, parseTenant, type CommandContext } from "./command.ts";
import { findingLines } from "./finding-text.ts";

/** The flags of every command that rebuilds a range. */
export interface RebuildOptions {
  readonly from: Day;
  readonly to: Day;
  readonly tenant?: readonly string[];
  readonly tenantsFrom?: readonly string[];
  readonly allowShrink?: true;
  readonly priority?: Priority;
  readonly reason?: string;
  readonly by?: string;
}

/** Adds the flags that say what is to be rebuilt, and for whom. */
export function withRebuildOptions(command: Command): Command {
  return command
    .requiredOption("--from <day>", "first day, YYYY-MM-DD", parseDay)
    .requiredOption("--to <day>", "last day, included; today at the latest", parseDay)
    .option("--tenant <id>", "only this tenant; may be given more than once", collectTenant)
    .option(
      "--tenants-from <file>",
      "only the tenants of this file, one a line; - reads standard input; may be repeated",
      readTenants,
    )
    .option("--allow-shrink", "replace final days although fewer events are left of them; needs --reason")
    .option("--reason <text>", "why, for the run's record")
    .option("--by <name>", "who asks, for the run's record (default: user@host)");
}

/** The flag --priority. */
export function priorityOption(): Option {
  return new Option("--priority <which>", "go before or after other backfills: high, normal or low").argParser(
    (text): Priority => {
      const priority = { high: 1, normal: 0, low: -1 }[text];
      if (priority === undefined) throw new InvalidArgumentError("It must be high, normal or low.");
      return priority as Priority;
    },
  );
}

/** The request that the flags make, with its range checked. @throws UsageError for flags that do not fit each other */
export function requestOf(options: RebuildOptions, today: Day): RunRequest {
  checkRange(options.from, options.to, today);
  const { from, to, tenant, tenantsFrom, allowShrink, priority, reason, by } = options;
  if (allowShrink && !reason?.trim()) {
    throw new UsageError("--allow-shrink may make final totals smaller: say why with --reason, for the run's record.");
  }
  const tenants = tenant || tenantsFrom ? [...(tenant ?? []), ...(tenantsFrom ?? [])] : undefined;
  const requestedBy = by ?? defaultRequester();
  return { kind: "backfill", from, to, tenants, allowShrink, priority, reason, requestedBy };
}

/** The request that the flags make, checked against the servers too: the tenants must be known. */
export async function checkedRequest(options: RebuildOptions, context: CommandContext): Promise<RunRequest> {
  const { services, signal } = context;
  const request = requestOf(options, services.today());
  const { tenants } = await services.source();
  if (request.tenants) {
    const known = await tenants.findSpans(request.tenants, request, signal);
    await requireKnown(request.tenants, known, context, tenantFlags(options));
  }
  return request;
}

/** The flags that named the tenants, for messages. */
export function tenantFlags({ tenant, tenantsFrom }: RebuildOptions): string {
  return [tenant && "--tenant", tenantsFrom && "--tenants-from"].filter(Boolean).join(", ");
}

/**
 * @param flags those that named the tenants
 * @throws UsageError that names the tenants without any event or row, and says why where the newest events are
 *   invisible, or where there are none
 */
export async function requireKnown(
  wanted: readonly string[],
  known: readonly { readonly tenant: string }[],
  context: CommandContext,
  flags = "--tenant",
): Promise<void> {
  const names = new Set(known.map(({ tenant }) => tenant));
  const unknown = wanted.filter((tenant) => !names.has(tenant));
  if (unknown.length === 0) return;
  const shown = unknown.slice(0, SHOWN).map((tenant) => JSON.stringify(tenant));
  const more = unknown.length > SHOWN ? ` and ${unknown.length - SHOWN} more` : "";
  const finding = await explainUnknown(unknown, context);
  throw new UsageError([
    `${flags} ${shown.join(", ")}${more}: no event and no row found. Check the spelling and EVENTS_COLLECTION.`,
    ...(finding.kind === "otherDays" ? [] : findingLines(finding)), // then the events are there, of other tenants
  ]);
}

async function explainUnknown(tenants: readonly string[], { services, signal }: CommandContext): Promise<Finding> {
  const { explainNothing } = await import("../rebuild/explain-nothing.ts");
  const { invisible } = await services.source();
  const { today, config: settings } = services;
  return explainNothing({ tenants, known: [] }, { invisible, settings, today, signal });
}

const SHOWN = 10;

/** Reads one tenant a line and adds them to those of other files; skips empty lines. */
function readTenants(file: string, before: readonly string[] = []): string[] {
  let text: string;
  try {
    text = readFileSync(file === "-" ? 0 : file, "utf8");
  } catch (error) {
    throw new InvalidArgumentError(`It cannot be read: ${(error as Error).message}.`);
  }
  const lines = text.split(/\r?\n/).map((line, index) => ({ line, number: index + 1 }));
  const tenants = lines
    .filter(({ line }) => line !== "")
    .map(({ line, number }) => parseTenant(line, `in line ${number} `));
  if (tenants.length === 0) throw new InvalidArgumentError("The file names no tenant.");
  return [...before, ...tenants];
}
