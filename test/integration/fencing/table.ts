import { differences } from "../../support/differences.ts";
import { emptyDay, oracle } from "../../support/oracle.ts";
import type { SampleEvent } from "../../support/sample.ts";
import { storedRows } from "../../support/stored-rows.ts";
import type { World } from "../../support/world.ts";

/** What the stored tenant-days have wrong, each judged by the events that it should be made of. */
export async function tableDifferences(
  { pool, config: { timeZone } }: World,
  events: readonly SampleEvent[],
): Promise<string[]> {
  const { days } = oracle(events, { timeZone, now: new Date() });
  const rows = await storedRows(pool);
  const found = [...days.keys()].filter((key) => !rows.has(key)).map((key) => `${key}: no row`);
  for (const [key, row] of rows) {
    const expected = days.get(key) ?? emptyDay(row.tenant_id, row.date);
    found.push(...differences(row, expected).map((difference) => `${key}: ${difference}`));
  }
  return found;
}
