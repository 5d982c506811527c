/** What the pipelines sum of hostile events, against the oracle, with neither a cache nor a queue. */
import { expect, test } from "vitest";
import { EventReader } from "../../src/db/mongo/events.ts";
import { TotalsReader } from "../../src/db/mongo/totals.ts";
import { dayBounds } from "../../src/usage/day.ts";
import type { Measures } from "../../src/usage/measures.ts";
import type { Rollup } from "../../src/usage/rollup.ts";
import { eventsOf } from "../support/event-collection.ts";
import { canonicalDecimal } from "../support/exact-number.ts";
import { hostileEvents, hugeEvents } from "../support/hostile.ts";
import { useMongoWorlds } from "../support/mongo-world.ts";
import { oracle, type Measures as Expected, type OracleDay } from "../support/oracle.ts";

const openWorld = useMongoWorlds("oracle");

/** Sums in the oracle's form. */
function inItsForm({ cost, ...wholes }: Measures): Expected {
  const { requests, tokens, prompt, completion } = wholes;
  return {
    requests: BigInt(requests),
    tokens: BigInt(tokens),
    prompt: BigInt(prompt),
    completion: BigInt(completion),
    cost: canonicalDecimal(`${cost}e-18`),
  };
}

const entries = <T>(map: Map<string, T>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));

/** All sums of a day that was read, in the form of the oracle's. */
function read({ totals, malformed, rows, folded }: Rollup) {
  const mapOf = (list: readonly { key: string; sums: Measures }[]) =>
    entries(new Map(list.map(({ key, sums }) => [key, inItsForm(sums)])));
  const tuples = rows.map(({ keys, sums }) => ({ key: JSON.stringify([keys.user, keys.model, keys.provider]), sums }));
  return {
    totals: inItsForm(totals),
    malformed: BigInt(malformed),
    user: mapOf(folded.user),
    model: mapOf(folded.model),
    provider: mapOf(folded.provider),
    raw: mapOf(tuples),
  };
}

const expectedOf = ({ totals, malformed, byUser, byModel, byProvider, raw }: OracleDay) => ({
  totals,
  malformed,
  user: entries(byUser),
  model: entries(byModel),
  provider: entries(byProvider),
  raw: entries(raw),
});

test.each([
  ["UTC", "clean"],
  ["America/Los_Angeles", "hostile"],
] as const)(
  "in %s every hostile tenant-day has the sums of the oracle, and so have its totals",
  async (timeZone, kind) => {
    const world = await openWorld({ USAGE_TIMEZONE: timeZone });
    const day = "2026-03-08";
    const events = [
      ...hostileEvents({ seed: 3, from: "2026-03-07", days: 3, timeZone, perDay: 700 }),
      ...hugeEvents({ day, timeZone, kind }),
    ];
    await world.insert(events);
    const { days } = oracle(events, { timeZone, now: new Date() });
    expect(days.size).toBeGreaterThan(40);
    expect([...days.values()].filter(({ malformed }) => malformed > 0n).length).toBeGreaterThan(20);

    const options = { maxTimeMs: 600_000, signal: new AbortController().signal };
    const reader = new EventReader(eventsOf(world));
    const sums = new TotalsReader(eventsOf(world));
    for (const expected of days.values()) {
      const { tenant, date } = expected;
      const bounds = dayBounds(date, timeZone);
      expect(read(await reader.readDay(tenant, bounds, options)), `${tenant} ${date}`).toEqual(expectedOf(expected));
      const totals = await sums.readTotals({ tenant, ...bounds }, options);
      expect(inItsForm(totals), `totals of ${tenant} ${date}`).toEqual(expected.totals);
    }
  },
);
