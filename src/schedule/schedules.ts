import type { Config } from "../config.ts";
import type { RunRequest } from "../db/postgres/runs/request.ts";
import type { QueueName } from "../db/postgres/session.ts";
import { auditSample } from "../jobs/audit-sample.ts";
import { ensureIndexes } from "../jobs/ensure-indexes.ts";
import { followArrivals } from "../jobs/follow-arrivals.ts";
import type { Job } from "../task/job.ts";
import { PAYLOAD_VERSION } from "../task/payload.ts";
import { reportIndexUsage } from "../jobs/report-index-usage.ts";
import { trimHistory } from "../jobs/trim-history.ts";
import { addDays, dayOf, earlierDay, FIRST_DAY, laterDay, type Day } from "../usage/day.ts";

/** The actions of a tick: request a run, or enqueue a job. A tick never does the work itself. */
export interface TickActions {
  readonly request: (request: RunRequest) => Promise<void>;
  /** @param queue default `bulk` */
  readonly enqueue: (job: Job, payload: unknown, queue?: QueueName) => Promise<void>;
  /** the last day up to which a nightly rebuild has ended; undefined = none has ended yet */
  readonly nightlyThrough: () => Promise<Day | undefined>;
}

/** One row of the table of schedules. It is due either by `cron` or `every` so many seconds. */
export type Schedule = {
  readonly name: string;
  /**
   * @param occurrence when the tick was due, in UTC and the same in every replica: the minute of a cron expression
   *   ("2026-11-21T02:15Z"), the second of a period ("2026-11-21T02:15:00Z")
   */
  tick(occurrence: string, actions: TickActions): Promise<void>;
} & (
  | {
      /** five fields, in UTC, where no time is skipped or repeated */
      readonly cron: string;
      /** on start, a worker fires the latest missed occurrence */
      readonly catchUp?: boolean;
      readonly every?: never;
    }
  | {
      /** seconds: due at whole multiples since 1970; while a tick takes longer, due times are skipped */
      readonly every: number;
      readonly cron?: never;
      readonly catchUp?: never;
    }
);

/** Once a day, at a quiet hour, by default after the start of the other daily work. */
const TRIM_CRON = "20 5 * * *";

/** Once a day, by default after the indexes were ensured. */
const INDEX_USAGE_CRON = "15 4 * * *";

/** The table of all schedules. A new schedule is one row. */
export function schedules(config: Config): readonly Schedule[] {
  return [
    {
      name: "nightly",
      cron: config.nightlyCron,
      catchUp: true,
      tick: async (occurrence, { request, nightlyThrough }) =>
        request(nightlyRequest(occurrence, await nightlyThrough(), config)),
    },
    {
      name: "refresh",
      every: config.refreshSeconds,
      tick: (occurrence, { enqueue }) =>
        enqueue(followArrivals, { v: PAYLOAD_VERSION, slot: jobOccurrence(occurrence) }, "fresh"),
    },
    {
      name: "indexes",
      cron: config.indexesCron,
      tick: (occurrence, { enqueue }) =>
        enqueue(ensureIndexes, { v: PAYLOAD_VERSION, slot: jobOccurrence(occurrence) }),
    },
    {
      name: "index-usage",
      cron: INDEX_USAGE_CRON,
      tick: (occurrence, { enqueue }) =>
        enqueue(reportIndexUsage, { v: PAYLOAD_VERSION, slot: jobOccurrence(occurrence) }),
    },
    {
      name: "audit",
      cron: config.auditCron,
      tick: (occurrence, { enqueue }) => enqueue(auditSample, { v: PAYLOAD_VERSION, slot: jobOccurrence(occurrence) }),
    },
    {
      name: "history",
      cron: TRIM_CRON,
      tick: (occurrence, { enqueue }) => enqueue(trimHistory, { v: PAYLOAD_VERSION, slot: jobOccurrence(occurrence) }),
    },
  ];
}

/** The longest range of a run, the same as for a backfill. */
const MAX_DAYS = 3_660;

/**
 * The days that a nightly run rebuilds: they end with the day before the occurrence, whose own day belongs to the
 * refresh. They begin before the watermark, by NIGHTLY_DAYS or by as many days as each day needs to be read once more
 * when it is final. So the next night makes up for a missed one.
 *
 * @param through the watermark; default yesterday
 */
export function nightlyRequest(
  occurrence: string,
  through: Day | undefined,
  { timeZone, nightlyDays, settleHours }: Pick<Config, "timeZone" | "nightlyDays" | "settleHours">,
): RunRequest {
  const yesterday = addDays(dayOf(Date.parse(occurrence), timeZone), -1);
  const watermark = earlierDay(through ?? yesterday, yesterday);
  const back = Math.max(nightlyDays, Math.ceil(settleHours / 24) + 1);
  const from = [FIRST_DAY, addDays(yesterday, 1 - MAX_DAYS), addDays(watermark, -back)].reduce(laterDay);
  return { kind: "nightly", from, to: yesterday, requestedBy: "schedule", dedupeBy: occurrence };
}

/** The minute of an instant, as the name of a cron expression's occurrence. */
export function occurrenceOf(instant: Date): string {
  return `${instant.toISOString().slice(0, 16)}Z`;
}

/** The second of an instant, as the name of a period's occurrence. */
export function periodOccurrenceOf(instant: Date): string {
  return `${instant.toISOString().slice(0, 19)}Z`;
}

/** An occurrence as part of a job's id, in which ":" is not allowed. */
export function jobOccurrence(occurrence: string): string {
  return occurrence.replaceAll(":", "");
}
