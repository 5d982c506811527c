import { addDays } from "./civil-day.ts";
import { event, type SampleEvent } from "./sample.ts";

/** Events of one tenant at noon UTC of so many days in a row: few events, many tenant-days. */
export function daysOfEvents(tenant: string, from: string, days: number, perDay = 1): SampleEvent[] {
  return Array.from({ length: days * perDay }, (_, number) =>
    event({
      tenant_id: tenant,
      user_id: `user-${number % 3}`,
      prompt_tokens: 1 + number,
      created_at: new Date(`${addDays(from, Math.floor(number / perDay))}T12:00:00Z`),
    }),
  );
}
