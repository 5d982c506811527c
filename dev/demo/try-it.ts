import { addDays, type Day } from "../../src/usage/day.ts";
import { heading, say } from "./print.ts";
import type { World } from "./world.ts";

/** Prints the settings and commands with which a person can use the demo from another shell. */
export function printWhatToTry({ env }: World, address: string, today: Day): void {
  heading("It stays up. In another shell, in this folder:");
  for (const [name, value] of Object.entries(env)) say(`  export ${name}=${quoted(value)}`);
  say();
  const lastWeek = `--from ${addDays(today, -7)} --to ${addDays(today, -1)}`;
  const commands = [
    "npx tallyman status",
    "npx tallyman runs list",
    `npx tallyman backfill ${lastWeek} --tenant harbor-bank --watch`,
    `npx tallyman rebuild --inline ${lastWeek}`,
    `psql "$DATABASE_URL" -c "SELECT date, total_requests, total_cost, state FROM daily_usage_cache \\`,
    `    WHERE tenant_id = 'harbor-bank' ORDER BY date DESC LIMIT 7"`,
    `curl ${address}/livez`,
  ];
  for (const command of commands) say(`  ${command}`);
  heading("Ctrl-C ends it and removes everything.");
}

/** Quotes a value as one shell word. */
function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
