import { UsageError } from "../../errors.ts";
import { addDays, FIRST_DAY, laterDay, type Day } from "../../usage/day.ts";
import { lockSettings, readMeta, writeSettings, type AgreedSettings } from "./meta.ts";
import type { Connection, Pool } from "./pool.ts";
import { inRacingTransaction } from "./race.ts";
import { cancelLocked } from "./runs/control.ts";
import { insertRun } from "./runs/request.ts";
import { differences } from "./settings.ts";

/** An event may be so many days earlier in another time zone: UTC+14 and UTC-12 are 26 hours apart. */
const MOST_DAYS_APART = 2;

/** The outcome of a change of settings. */
export interface SettingsChange {
  /** one line for each changed setting; empty = the settings were in force already */
  readonly changes: string;
  /** the runs that were cancelled */
  readonly cancelled: readonly string[];
  /** the run that rebuilds every row; undefined = there is no row and no tenant */
  readonly rebuild: string | undefined;
}

/**
 * Puts other settings in force, in one transaction: cancels every unfinished run, forgets the computed ranges,
 * and inserts a run that rebuilds everything. It may shrink final days, since events move from day to day.
 *
 * @param horizon rows before it cannot be rebuilt with the new settings, so they prevent the change
 * @throws UsageError where rows lie before the horizon
 */
export async function changeSettings(
  pool: Pool,
  settings: AgreedSettings,
  { horizon, today, by }: { readonly horizon: Day | undefined; readonly today: Day; readonly by: string },
): Promise<SettingsChange> {
  return inRacingTransaction(pool, async (connection) => {
    await lockSettings(connection);
    const before = await readMeta(connection, "settings");
    if (before?.hash === settings.hash) return { changes: "", cancelled: [], rebuild: undefined };
    await refuseRowsBefore(connection, horizon);
    const unfinished = await connection.query<{ id: string }>(
      "SELECT id FROM usage_run WHERE state IN ('planned', 'running') ORDER BY created_at FOR NO KEY UPDATE",
    );
    for (const { id } of unfinished.rows) await cancelLocked(connection, id, `${by}: the settings changed`);
    // Only now, when no process can write rows of the old settings: all that was read before this moment has those.
    await writeSettings(connection, settings);
    await connection.query(
      "UPDATE usage_tenant SET computed_from = NULL, computed_through = NULL, searched_through = NULL",
    );
    const changed = differences(before?.values ?? {}, settings.values);
    const changes = changed.join("\n");
    const { first, lastRow } = await daysInUse(connection);
    const request = {
      kind: "backfill",
      to: laterDay(today, lastRow ?? today), // in the other time zone it may be tomorrow already
      allowShrink: true,
      reason: `settings changed: ${changed.map((line) => line.trim()).join("; ")}`,
      requestedBy: by,
    } as const;
    const cancelled = unfinished.rows.map(({ id }) => id);
    if (first === undefined) return { changes, cancelled, rebuild: undefined };
    const from = laterDay(FIRST_DAY, addDays(first, -MOST_DAYS_APART));
    const { id } = await insertRun(connection, { ...request, from }, settings.hash, "planned");
    return { changes, cancelled, rebuild: id };
  });
}

async function refuseRowsBefore(connection: Connection, horizon: Day | undefined): Promise<void> {
  if (horizon === undefined) return;
  const { rows } = await connection.query<{ days: string; first: Day; last: Day }>(
    "SELECT count(*) AS days, min(date) AS first, max(date) AS last FROM daily_usage_cache WHERE date < $1",
    [horizon],
  );
  const [found] = rows;
  if (!found || found.days === "0") return;
  throw new UsageError(
    `${found.days} rows from ${found.first} to ${found.last} lie before ${horizon}, the first day whose events all still exist. ` +
      "They could not be rebuilt under other settings, and rows of two settings must not stand in one table. " +
      "Move those rows to a table of their own first, or leave the settings as they were.",
  );
}

async function daysInUse(connection: Connection): Promise<{ first: Day | undefined; lastRow: Day | undefined }> {
  const { rows } = await connection.query<{ first: Day | null; lastRow: Day | null }>(
    `SELECT least((SELECT min(first_day) FROM usage_tenant), (SELECT min(date) FROM daily_usage_cache)) AS first,
            (SELECT max(date) FROM daily_usage_cache) AS "lastRow"`,
  );
  return { first: rows[0]?.first ?? undefined, lastRow: rows[0]?.lastRow ?? undefined };
}
