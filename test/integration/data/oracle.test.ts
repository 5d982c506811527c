import type { Document } from "mongodb";
import { beforeAll, describe, expect, test } from "vitest";
import type { Run } from "../../../src/db/postgres/runs/run.ts";
import { addDays } from "../../support/civil-day.ts";
import { contentHash } from "../../support/content-hash.ts";
import { hostileEvents, hugeEvents } from "../../support/hostile.ts";
import { parseLossless } from "../../support/lossless-json.ts";
import { differences } from "../../support/differences.ts";
import { emptyDay, oracle, type OracleDay } from "../../support/oracle.ts";
import { rebuild } from "../../support/rebuild.ts";
import { event } from "../../support/sample.ts";
import { storedRows, type WholeRow } from "../../support/stored-rows.ts";
import { useWorld } from "../../support/world.ts";

/** The two clock changes of each zone, in their order, with the bounds of these days by the zone's own rules. */
const ZONES = [
  {
    timeZone: "Europe/Berlin",
    huge: "clean",
    changes: [
      { day: "2026-03-29", start: "2026-03-28T23:00:00Z", end: "2026-03-29T22:00:00Z" },
      { day: "2026-10-25", start: "2026-10-24T22:00:00Z", end: "2026-10-25T23:00:00Z" },
    ],
  },
  {
    timeZone: "America/Los_Angeles",
    huge: "hostile",
    changes: [
      { day: "2025-11-02", start: "2025-11-02T07:00:00Z", end: "2025-11-03T08:00:00Z" },
      { day: "2026-03-08", start: "2026-03-08T08:00:00Z", end: "2026-03-09T07:00:00Z" },
    ],
  },
] as const;

/** What a rebuild of the days around each change must store: the oracle's days, and zero days in a tenant's gaps. */
function expectedRows(days: Map<string, OracleDay>, windows: readonly { from: string; to: string }[]) {
  const spans = new Map<string, { first: string; last: string }>();
  for (const { tenant, date } of days.values()) {
    const { first, last } = spans.get(tenant) ?? { first: date, last: date };
    spans.set(tenant, { first: date < first ? date : first, last: date > last ? date : last });
  }
  const expected = new Map<string, OracleDay>();
  for (const { from, to } of windows) {
    for (const [tenant, { first, last }] of spans) {
      for (let date = from; date <= to; date = addDays(date, 1)) {
        if (date < first || date > last) continue;
        expected.set(`${tenant}|${date}`, days.get(`${tenant}|${date}`) ?? emptyDay(tenant, date));
      }
    }
  }
  return expected;
}

function allDifferences(rows: Map<string, WholeRow>, expected: Map<string, OracleDay>): string[] {
  const found: string[] = [];
  for (const key of rows.keys()) if (!expected.has(key)) found.push(`${key}: unexpected row`);
  for (const [key, day] of expected) {
    const row = rows.get(key);
    if (row) found.push(...differences(row, day).map((difference) => `${key}: ${difference}`));
    else found.push(`${key}: no row`);
  }
  return found;
}

const total = (days: Iterable<OracleDay>, of: "sourceEvents" | "malformed") =>
  Number([...days].reduce((sum, day) => sum + day[of], 0n));

const users = (row: WholeRow | undefined) => [
  ...(parseLossless(row?.aggregated_by_user ?? "null") as Map<string, never>).keys(),
];

/** Equal content twice, in opposite orders, and once with one event that differs. */
function twins(day: string): Document[] {
  const names = ["u1", "u2", "😀", "\uFFFF", "a", "Z"];
  const content = (last: Document) => [
    ...names.flatMap((user_id, n) => [
      event({ user_id, model: `m${n % 2}`, created_at: new Date(`${day}T12:00:00Z`) }),
      event({ user_id, prompt_tokens: n, cost: 0.1 * n, created_at: new Date(`${day}T13:00:00Z`) }),
    ]),
    event({ created_at: new Date(`${day}T14:00:00Z`), ...last }),
  ];
  const of = (tenant_id: string, events: Document[]) => events.map((fields) => ({ ...fields, tenant_id }));
  return [
    ...of("twin", content({ prompt_tokens: 1 })),
    ...of("turned", content({ prompt_tokens: 1 }).reverse()),
    ...of("other", content({ prompt_tokens: 2 })),
  ];
}

describe.each(ZONES)("around the clock changes of $timeZone", ({ timeZone, huge, changes }) => {
  const windows = changes.map(({ day }) => ({ from: addDays(day, -2), to: addDays(day, 2) }));
  const world = useWorld("oracle", { USAGE_TIMEZONE: timeZone, WORKER_CONCURRENCY: "3" });
  let expected: Map<string, OracleDay>;
  let firstRuns: Run[];
  let rows: Map<string, WholeRow>;

  async function rebuildWindows(): Promise<Run[]> {
    const runs: Run[] = [];
    for (const window of windows) runs.push(await rebuild(world, window));
    return runs;
  }

  beforeAll(async () => {
    const edges = changes.flatMap(({ start, end }) => [
      event({ tenant_id: "edges", user_id: "before", created_at: new Date(Date.parse(start) - 1) }),
      event({ tenant_id: "edges", user_id: "first", created_at: new Date(start) }),
      event({ tenant_id: "edges", user_id: "last", created_at: new Date(Date.parse(end) - 1) }),
      event({ tenant_id: "edges", user_id: "after", created_at: new Date(end) }),
    ]);
    const events = [
      ...edges,
      ...twins(changes[0].day),
      ...changes.flatMap(({ day }, seed) => [
        ...hostileEvents({ seed, from: addDays(day, -1), days: 3, timeZone, perDay: 600 }),
      ]),
      ...hugeEvents({ day: changes[0].day, timeZone, kind: huge }),
    ];
    await world.insert(events);
    expected = expectedRows(oracle(events, { timeZone, now: new Date() }).days, windows);
    firstRuns = await rebuildWindows();
    rows = await storedRows(world.pool);
  });

  test("every row is what the oracle says, and no other row is there", () => {
    const zeroRows = [...expected.values()].filter(({ sourceEvents }) => sourceEvents === 0n);
    expect(zeroRows.length).toBeGreaterThan(10);
    expect(allDifferences(rows, expected)).toEqual([]);
  });

  test("an event on the first millisecond of a day is in, one on the first of the next is not", () => {
    for (const { day } of changes) expect(users(rows.get(`edges|${day}`))).toEqual(["last", "first"]);
  });

  test("every row proves itself: its hash follows from what it stores", () => {
    const wrong = [...rows.values()].filter((row) => row.content_hash !== contentHash(row));
    expect(wrong.map(({ tenant_id, date }) => `${tenant_id}|${date}`)).toEqual([]);
  });

  test("equal content has one hash in whatever order it came, other content another", () => {
    const hash = (tenant: string) => rows.get(`${tenant}|${changes[0].day}`)?.content_hash;
    expect(hash("twin")).toMatch(/^[0-9a-f]{64}$/);
    expect(hash("turned")).toBe(hash("twin"));
    expect(hash("other")).not.toBe(hash("twin"));
  });

  test("the runs count what they did and what they read", () => {
    for (const [index, run] of firstRuns.entries()) {
      const window = windows[index];
      const days = [...expected.values()].filter(({ date }) => window && date >= window.from && date <= window.to);
      expect(run).toMatchObject({
        state: "done",
        days: { planned: days.length, written: days.length, unchanged: 0, stale: 0, refused: 0, failed: 0 },
        sourceEvents: total(days, "sourceEvents"),
        malformedEvents: total(days, "malformed"),
      });
      expect(run.chunks.done).toBe(run.chunks.planned);
      expect(run.malformedEvents).toBeGreaterThan(100);
    }
  });

  test("a second rebuild writes nothing and moves the stamps alone", async () => {
    const again = await rebuildWindows();
    for (const [index, run] of again.entries()) {
      const planned = firstRuns[index]?.days.planned;
      expect(run.days).toEqual({ planned, written: 0, unchanged: planned, stale: 0, refused: 0, failed: 0 });
    }
    const after = await storedRows(world.pool);
    expect(after.size).toBe(rows.size);
    for (const [key, { read_at, ctid: _, ...row }] of after) {
      const { read_at: before, ctid: __, ...rest } = rows.get(key) as WholeRow;
      expect(row).toEqual(rest);
      expect(read_at > before).toBe(true);
    }
    const { rows: changes } = await world.pool.query<{ n: number }>("SELECT count(*)::int AS n FROM usage_change");
    expect(changes[0]?.n).toBe(rows.size);
  });
});
