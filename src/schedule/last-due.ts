import { createTask, parse } from "node-cron";

/** The 29 February comes again within four years (except around 2100). */
const MAX_DAYS_BACK = 4 * 365 + 1;
const DAY_MS = 86_400_000;

/**
 * The last time, at or before `now`, at which a cron expression of five fields was due in UTC; undefined if there was
 * none within four years. The library that fires the schedule decides which days are due, so that both agree.
 */
export function lastDue(cron: string, now: Date): Date | undefined {
  const { hour, minute } = parse(cron);
  const minutesOfDay = hour.flatMap((h) => minute.map((m) => 60 * h + m)).sort((a, b) => b - a);
  const task = createTask(cron, () => undefined, { timezone: "UTC" });
  try {
    const midnight = Math.floor(now.getTime() / DAY_MS) * DAY_MS;
    for (let back = 0; back <= MAX_DAYS_BACK; back++) {
      const day = midnight - back * DAY_MS;
      const minutes = minutesOfDay.find((m) => day + m * 60_000 <= now.getTime());
      if (minutes === undefined) continue;
      const last = new Date(day + minutes * 60_000);
      if (task.match(last)) return last;
    }
    return undefined;
  } finally {
    void task.destroy();
  }
}
