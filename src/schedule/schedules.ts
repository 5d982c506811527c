import type { Config } from "../config.ts";
import type { RebuildWish } from "../db/postgres/run-request.ts";
import { ensureIndexes } from "../jobs/ensure-indexes.ts";
import { PAYLOAD_VERSION, type Job } from "../jobs/job.ts";
import { addDays, dayOf, FIRST_DAY, laterDay } from "../usage/day.ts";

/** What a tick may do: ask for a run, or enqueue a job. It never does the work. */
export interface TickActions {
  readonly request: (wish: RebuildWish) => Promise<void>;
  readonly enqueue: (job: Job, payload: unknown) => Promise<void>;
}

/** One row of the table of schedules. */
export interface Schedule {
  readonly name: string;
  /** five fields, in UTC, where no time is skipped or repeated */
  readonly cron: string;
  /** @param slot the minute that the tick was due, "2026-11-21T02:15Z": the same in every replica */
  tick(slot: string, actions: TickActions): Promise<void>;
}

/** Everything that happens by itself. A new schedule is one row. */
export function schedules(config: Config): readonly Schedule[] {
  return [
    {
      name: "nightly",
      cron: config.nightlyCron,
      tick: (slot, { request }) => request(nightlyWish(slot, config)),
    },
    {
      name: "indexes",
      cron: config.indexesCron,
      tick: (slot, { enqueue }) => enqueue(ensureIndexes, { v: PAYLOAD_VERSION, slot: slot.replace(":", "") }),
    },
  ];
}

/** The days before the slot's own day, which belongs to the refresh: NIGHTLY_DAYS of them, ending yesterday. */
export function nightlyWish(
  slot: string,
  { timeZone, nightlyDays }: Pick<Config, "timeZone" | "nightlyDays">,
): RebuildWish {
  const yesterday = addDays(dayOf(Date.parse(slot), timeZone), -1);
  return {
    kind: "nightly",
    from: laterDay(FIRST_DAY, addDays(yesterday, 1 - nightlyDays)),
    to: yesterday,
    requestedBy: "schedule",
    slot,
  };
}

/** The minute of an instant, as the name of a slot. */
export function slotOf(instant: Date): string {
  return `${instant.toISOString().slice(0, 16)}Z`;
}
