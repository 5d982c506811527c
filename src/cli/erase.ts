import { InvalidArgumentError, type Command } from "commander";
import { EXIT, LockedError } from "../errors.ts";
import type { Day } from "../usage/day.ts";
import { cleanKey, OTHER_KEY, UNKNOWN_KEY } from "../usage/keys.ts";
import { action, createCommand, parseTenant } from "./command.ts";

interface EraseOptions {
  readonly tenant: string;
  readonly user: string;
  readonly yes?: true;
}

/** `erase`: erases a user from what runs keep for an undo, and says which rows still hold the user. */
export function eraseCommand(): Command {
  return createCommand(
    "erase",
    "Erase a user of a tenant from the rows that runs keep for an undo, and say which rows still hold the user.",
    "tallyman erase --tenant acme --user alice --yes",
  )
    .requiredOption("--tenant <id>", "the user's tenant", (text) => parseTenant(text))
    .requiredOption("--user <id>", "the user, as a key of aggregated_by_user", parseUser)
    .option("--yes", "erase; without it the command only looks. Nothing brings the kept rows back")
    .action(
      action<EraseOptions>(async ({ tenant, user, yes }, { services, answer }) => {
        const { daysWithUser, eraseKept, keptRows, unfinishedRuns } = await import("../db/postgres/cache/erase.ts");
        const pool = await services.pool();
        if (yes) {
          const [busy] = await unfinishedRuns(pool, tenant);
          if (busy !== undefined) {
            throw new LockedError(
              `Run ${busy} may still keep or restore rows of this tenant. Wait for its end, or cancel it: tallyman runs cancel ${busy}`,
            );
          }
        }
        const kept = await keptRows(pool, { tenant, user });
        if (yes) await eraseKept(pool, kept);
        const days = await daysWithUser(pool, { tenant, user }); // last, since an undo may have restored some meanwhile
        const runs = [...new Set(kept.map(({ runId }) => runId))];
        const isClean = days.length === 0 && (yes || kept.length === 0);
        answer({ erased: yes ? kept.length : 0, kept: yes ? 0 : kept.length, runs, days }, [
          keptLine(kept.length, runs.length, yes === true),
          ...daysLines(days, tenant),
        ]);
        return isClean ? EXIT.done : EXIT.found;
      }),
    );
}

function keptLine(rows: number, runs: number, isErased: boolean): string {
  if (rows === 0) return "No run keeps a row with this user.";
  const what = `${rows} kept rows of ${runs} runs`;
  return isErased
    ? `Erased ${what}; an undo of these runs skips those tenant-days.`
    : `${what} hold this user. To erase them for good, add --yes.`;
}

function daysLines(days: readonly Day[], tenant: string): string[] {
  const [first, last] = [days[0], days.at(-1)];
  if (first === undefined || last === undefined) return ["No row of daily_usage_cache holds this user."];
  return [
    `${days.length} rows of daily_usage_cache still hold this user, from ${first} to ${last}. Change or delete the user's events, then:`,
    `  tallyman backfill --from ${first} --to ${last} --tenant ${JSON.stringify(tenant)} --allow-shrink --reason TEXT`,
    "and after that this command again, since that run keeps the rows it replaces.",
  ];
}

/** Parses the id of a user, as rows have it. */
function parseUser(text: string): string {
  if (text === "") throw new InvalidArgumentError("It must not be empty.");
  if (text === UNKNOWN_KEY || text === OTHER_KEY)
    throw new InvalidArgumentError("This key stands for many users or none, not for one.");
  return cleanKey(text);
}
