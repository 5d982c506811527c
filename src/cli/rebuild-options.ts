import type { Command } from "commander";
import type { RebuildWish } from "../db/postgres/run-request.ts";
import { UsageError } from "../errors.ts";
import type { Day } from "../usage/day.ts";
import { checkRange, collectTenant, defaultRequester, parseDay, type CommandContext } from "./command.ts";

/** The flags of every command that rebuilds a range. */
export interface RebuildOptions {
  readonly from: Day;
  readonly to: Day;
  readonly tenant?: readonly string[];
  readonly reason?: string;
  readonly by?: string;
}

/** Adds the flags that say what is to be rebuilt, and for whom. */
export function withRebuildOptions(command: Command): Command {
  return command
    .requiredOption("--from <day>", "first day, YYYY-MM-DD", parseDay)
    .requiredOption("--to <day>", "last day, included; today at the latest", parseDay)
    .option("--tenant <id>", "only this tenant; may be given more than once", collectTenant)
    .option("--reason <text>", "why, for the run's record")
    .option("--by <name>", "who asks, for the run's record (default: user@host)");
}

/** Checks the flags against the servers: a range that can be rebuilt, tenants that somebody knows. */
export async function checkedWish(options: RebuildOptions, { services, signal }: CommandContext): Promise<RebuildWish> {
  checkRange(options.from, options.to, services.today());
  const { tenants } = await services.source();
  if (options.tenant) {
    const known = new Set((await tenants.learnSpans(options.tenant, options, signal)).map(({ tenant }) => tenant));
    const unknown = options.tenant.filter((tenant) => !known.has(tenant)).map((tenant) => JSON.stringify(tenant));
    if (unknown.length > 0) {
      throw new UsageError(
        `--tenant ${unknown.join(", ")}: no event and no row is known of it. Check the spelling, and that EVENTS_COLLECTION is right.`,
      );
    }
  }
  const { from, to, tenant, reason, by } = options;
  return { kind: "backfill", from, to, tenants: tenant, reason, requestedBy: by ?? defaultRequester() };
}
