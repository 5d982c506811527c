import { ObjectId } from "mongodb";
import { pino } from "pino";
import type { Run } from "../../../src/db/postgres/runs/run.ts";
import { aggregateDays } from "../../../src/jobs/aggregate-days.ts";
import { followArrivals } from "../../../src/jobs/follow-arrivals.ts";
import type { JobContext } from "../../../src/task/context.ts";
import type { Services } from "../../../src/services.ts";
import { addDays } from "../../support/civil-day.ts";
import { jobContext } from "../../support/job-context.ts";
import { todayIn, zoneBeforeNoon } from "../../support/quiet-hours.ts";
import type { World } from "../../support/world.ts";

export const HOUR = 3_600;
export const DAY = 24 * HOUR;

/** The time zone of these worlds, chosen so that no midnight passes during a test. */
export const ZONE = zoneBeforeNoon();

let made = 0;

/** An id such as a driver makes, at a time relative to now, in seconds: negative = ago. */
export function idAt(seconds: number, now = Date.now()): ObjectId {
  const second = Math.floor(now / 1_000) + seconds;
  return new ObjectId(second.toString(16).padStart(8, "0") + (++made).toString(16).padStart(16, "0"));
}

/** A date relative to today, "YYYY-MM-DD". */
export function dateAt(days: number): string {
  return addDays(todayIn(ZONE), days);
}

/** Noon of a date in UTC, which is on the same date in the zone of these worlds. */
export function noon(date: string): Date {
  return new Date(`${date}T12:00:00Z`);
}

/** What a worker's log says at warn and above. */
export type Warnings = { msg: string; [field: string]: unknown }[];

function contextOf(services: Services, warnings: Warnings): Promise<JobContext> {
  const log = pino({ level: "warn" }, { write: (line) => void warnings.push(JSON.parse(line) as Warnings[number]) });
  return jobContext(services, log);
}

/** The result of one execution of the job. */
export interface Followed {
  readonly events: number;
  readonly days: number;
  readonly differing: number;
  readonly moved: boolean;
  readonly runId: string | null;
  readonly warnings: Warnings;
}

/** Does what one tick of the refresh enqueues: finds, marks, and starts a run, whose chunks nobody works on yet. */
export async function follow({ services }: World, differs: Partial<JobContext> = {}): Promise<Followed> {
  const warnings: Warnings = [];
  const context = { ...(await contextOf(services, warnings)), ...differs };
  return { ...(await followArrivals.run({ v: 1, slot: "2026-11-21T021500Z" }, context)), warnings };
}

/** Works on the chunks of a run until it has ended. */
export async function workOff(
  { services }: World,
  runId: string | null,
  differs: Partial<JobContext> = {},
): Promise<Run> {
  if (runId === null) throw new Error("no run was started");
  const [runs, chunks] = [await services.runs(), await services.chunks()];
  for (const chunk of await chunks.claimable(runId)) {
    await aggregateDays.run({ v: 1, runId, chunk }, { ...(await contextOf(services, [])), ...differs });
  }
  const run = await runs.get(runId);
  if (!run?.finishedAt) throw new Error("the run has not ended");
  return run;
}

/** The list of what has to be rebuilt, as "tenant date". */
export async function dirty({ pool }: World): Promise<string[]> {
  const { rows } = await pool.query<{ day: string }>(
    "SELECT tenant_id || ' ' || date AS day FROM usage_dirty ORDER BY tenant_id, date",
  );
  return rows.map(({ day }) => day);
}

/** Sets the watermark so many seconds ago, by the clock that ids are made by. */
export async function setWatermark({ pool }: World, secondsAgo: number, now = Date.now()): Promise<void> {
  const through = new Date(now - secondsAgo * 1_000).toISOString().replace("Z", "000Z");
  await pool.query(
    `INSERT INTO usage_meta (name, value) VALUES ('arrivals', jsonb_build_object('through', $1::text))
     ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value`,
    [through],
  );
}

/** The watermark as it is stored; undefined = there is none. */
export async function watermark({ pool }: World): Promise<string | undefined> {
  const { rows } = await pool.query<{ through: string }>(
    "SELECT value ->> 'through' AS through FROM usage_meta WHERE name = 'arrivals'",
  );
  return rows[0]?.through;
}
