import { addDays, dayStart } from "../../support/civil-day.ts";
import { event, type SampleEvent } from "../../support/sample.ts";
import type { World } from "../../support/world.ts";

/** Four events a day, an hour after its begin and every six hours: of a half-eaten day some are left. */
export function fourADay(timeZone: string, tenant: string, from: string, to: string): SampleEvent[] {
  const events: SampleEvent[] = [];
  for (let date = from; date <= to; date = addDays(date, 1)) {
    for (let n = 0; n < 4; n++) {
      const created_at = new Date(dayStart(timeZone, date) + (1 + 5 * n) * 3_600_000);
      events.push(event({ tenant_id: tenant, user_id: `user-${n}`, created_at }));
    }
  }
  return events;
}

/** What a TTL does at an instant: deletes the events older than so many seconds. */
export async function expire({ events }: World, now: string, seconds: number): Promise<number> {
  const { deletedCount } = await events.deleteMany({
    created_at: { $lt: new Date(Date.parse(now) - seconds * 1_000) },
  });
  return deletedCount;
}
