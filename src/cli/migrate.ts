import type { Command } from "commander";
import { requireConnection } from "../config.ts";
import { EXIT, UsageError } from "../errors.ts";
import { horizonDay } from "../usage/horizon.ts";
import { action, createCommand, createGroup, defaultRequester, type CommandContext } from "./command.ts";
import { table } from "./table.ts";
import { ask, canAsk } from "./terminal.ts";

/** `migrate up | down | status`: the tables in PostgreSQL. */
export function migrateCommand(): Command {
  const up = createCommand("up", "Apply every pending migration.", "tallyman migrate up")
    .option("--new", "make a second set of tables, in the first schema of the search_path")
    .action(
      action<{ new?: true }>(async (options, { config, answer }) => {
        const { migrate } = await import("../db/postgres/migrate.ts");
        const names = await migrate(databaseUrl(config), "up", { secondSet: options.new });
        answer({ applied: names }, names.length > 0 ? `Applied ${names.join(", ")}.` : "Nothing to apply.");
        return undefined;
      }),
    );
  const down = createCommand(
    "down",
    "Revert the last migration; asks first if rows would be lost.",
    "tallyman migrate down --yes",
  )
    .option("--yes", "revert it although rows will be lost")
    .action(
      action<{ yes?: true }>(async (options, context) => {
        const { holdsRows, migrate } = await import("../db/postgres/migrate.ts");
        if (!options.yes && (await holdsRows(await context.services.rawPool()))) await confirm();
        const names = await migrate(databaseUrl(context.config), "down");
        context.answer({ reverted: names }, names.length > 0 ? `Reverted ${names.join(", ")}.` : "Nothing to revert.");
        return undefined;
      }),
    );
  const status = createCommand("status", "Show which migrations the database has.", "tallyman migrate status").action(
    action(async (_options, { services, answer }) => {
      const { migrationState } = await import("../db/postgres/migrate.ts");
      const { migrations, unknown } = await migrationState(await services.rawPool());
      const rows = migrations.map(({ name, appliedAt }) => [name, appliedAt ?? "to come"]);
      for (const name of unknown) rows.push([name, "of a newer version"]);
      answer({ migrations, unknown }, table(["migration", "applied"], rows));
      return migrations.some(({ appliedAt }) => appliedAt === null) || unknown.length > 0 ? EXIT.found : EXIT.done;
    }),
  );
  const description = "Create or drop the tables in PostgreSQL, or change the settings that rows are computed with.";
  return createGroup("migrate", description, "tallyman migrate up", [up, down, status, settingsCommand()]);
}

function settingsCommand(): Command {
  return createCommand(
    "settings",
    "Put this environment's time zone, limits and field map in force, and rebuild every row with them.",
    "tallyman migrate settings --yes",
  )
    .option("--yes", "confirm: cancels unfinished runs and rebuilds every row")
    .option("--by <name>", "who asks, for the runs' records (default: user@host)")
    .action(
      action<{ yes?: true; by?: string }>(async ({ yes, by }, { services, config, answer }) => {
        const { readMeta } = await import("../db/postgres/meta.ts");
        const { differences } = await import("../db/postgres/settings.ts");
        const { changeSettings } = await import("../db/postgres/change-settings.ts");
        const { readStamp } = await import("../db/postgres/stamp.ts");
        const pool = await services.pool();
        const before = await readMeta(pool, "settings");
        const changes = differences(before?.values ?? {}, services.settings.values);
        if (changes.length === 0) {
          answer({ changes: "", cancelled: [], rebuild: null }, "These settings are in force already.");
          return undefined;
        }
        if (!yes) {
          throw new UsageError([
            "These settings differ from those in force:",
            ...changes,
            `To change them, say --yes: it cancels unfinished runs and rebuilds every row. ${SHRINKS}`,
          ]);
        }
        const change = await changeSettings(pool, services.settings, {
          horizon: horizonDay(await readStamp(pool), await services.retention(), config.timeZone),
          today: services.today(),
          by: by ?? defaultRequester(),
        });
        const follow = change.rebuild
          ? `Run ${change.rebuild} rebuilds every row; workers with the new settings do it. Follow it with: tallyman runs show ${change.rebuild} --watch`
          : "There is no row to rebuild yet.";
        answer(change, [
          "Changed:",
          ...change.changes.split("\n"),
          `${change.cancelled.length} runs were cancelled. ${follow}`,
          SHRINKS,
        ]);
        return undefined;
      }),
    );
}

const SHRINKS = "Final days may become smaller where events were deleted, including days that were refused until now.";

function databaseUrl(config: CommandContext["config"]): string {
  return config.databaseAdminUrl ?? requireConnection(config, "databaseUrl");
}

async function confirm(): Promise<void> {
  if (!canAsk()) throw new UsageError("Reverting the last migration would delete rows. Say --yes to revert it.");
  const answer = await ask("Reverting the last migration deletes rows. Revert it? (yes/no) ");
  if (answer.trim() !== "yes") throw new UsageError("Nothing was done.");
}
