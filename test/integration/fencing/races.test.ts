import { describe, expect, test } from "vitest";
import { createLogger } from "../../../src/log.ts";
import { Services } from "../../../src/services.ts";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { differences } from "../../support/differences.ts";
import { oracle } from "../../support/oracle.ts";
import { openedForEach } from "../../support/opened.ts";
import { event } from "../../support/sample.ts";
import { storedRows } from "../../support/stored-rows.ts";
import { until } from "../../support/until.ts";
import { useWorldForEach } from "../../support/world.ts";
import { Producer } from "./producer.ts";
import { changesIn, dirtyDays, doRun, plannedRun, workOn } from "./runs.ts";
import { SlowExecution } from "./slow-execution.ts";
import { tableDifferences } from "./table.ts";

const DAY = "2026-03-01";
const DAYS = { from: DAY, to: "2026-03-06" };

const world = useWorldForEach("races", { WORKER_CONCURRENCY: "3", MONGODB_CONCURRENCY: "8" });
/** another process */
const other = openedForEach(() => new Services(world.config, createLogger("silent")));

const daysOf = async (runId: string) => (await (await world.services.runs()).get(runId))?.days;

describe("of two rebuilds of one tenant-day, the one that read first and commits last", () => {
  const one = { from: DAY, to: DAY };

  test.each([
    ["where there was no row when it read", false],
    ["where there was one", true],
  ])("leaves the newer row byte for byte, %s", async (_, isStored) => {
    const events = daysOfEvents("acme", DAY, 1, 3);
    const add = async (user_id: string) => {
      events.push(event({ user_id }));
      await world.insert(events.slice(-1));
    };
    await world.insert(events);
    if (isStored) await doRun(other, one);
    await add("bob");

    const slow = await SlowExecution.create(world.services);
    const runId = await plannedRun(world.services, one);
    const late = workOn(runId, slow.context);
    await slow.reading();
    await add("carol");
    const newer = await doRun(other, one);
    expect(newer.days).toMatchObject({ written: 1, stale: 0 });
    const table = await storedRows(world.pool);
    const known = await changesIn(world);

    slow.letGo();
    expect(await late).toMatchObject({ claimed: true, written: 0, unchanged: 0, stale: 1, refused: 0 });
    expect(await storedRows(world.pool)).toEqual(table);
    expect(await changesIn(world)).toEqual(known);
    expect(await daysOf(runId)).toMatchObject({ planned: 1, stale: 1 });
    expect(await dirtyDays(world)).toEqual([]);
    expect(await tableDifferences(world, events)).toEqual([]);
  });

  test("does not replace the newer read where that found the content unchanged", async () => {
    await world.insert(daysOfEvents("acme", DAY, 1, 3));
    await doRun(other, one);
    const slow = await SlowExecution.create(world.services);
    const late = workOn(await plannedRun(world.services, one), slow.context);
    await slow.reading();
    await doRun(other, one);
    const table = await storedRows(world.pool);
    slow.letGo();
    expect(await late).toMatchObject({ stale: 1, unchanged: 0 });
    expect(await storedRows(world.pool)).toEqual(table);
  });
});

describe("a backfill and a nightly run over the same days, while events arrive", () => {
  const tenants = ["acme", "beta", "gamma"];
  const produce = (seed: number) => tenants.map((tenant, n) => new Producer(world, tenant, DAY, 6, seed * 10 + n));
  const inserted = (producers: readonly Producer[], events: number) =>
    until("events of every producer", () => producers.every((one) => one.events().length >= events));

  test("leave the newest read, though the backfill read all of it before and writes last", async () => {
    const producers = produce(1);
    await inserted(producers, 12);
    const runId = await plannedRun(world.services, DAYS);
    const slow = await SlowExecution.create(world.services, tenants.length * 6); // every day is read, none is written
    const backfill = workOn(runId, slow.context);
    await slow.reading();
    await inserted(producers, 24);
    await Promise.all(producers.map((one) => one.stop()));
    const nightly = await doRun(other, { ...DAYS, kind: "nightly" });
    expect(nightly).toMatchObject({ state: "done", days: { planned: 18, written: 18 } });
    const table = await storedRows(world.pool);

    slow.letGo();
    expect(await backfill).toMatchObject({ written: 0, stale: 18, failed: 0 });
    expect(await storedRows(world.pool)).toEqual(table);
    const events = producers.flatMap((one) => one.events());
    expect(await tableDifferences(world, events)).toEqual([]);
  });

  test.each([1, 2, 3])("store no day without what was there before its stamp (seed %i)", async (seed) => {
    const producers = produce(seed);
    await inserted(producers, 6);
    const runs = await Promise.all([
      doRun(world.services, DAYS),
      doRun(other, { ...DAYS, kind: "nightly" }),
      doRun(world.services, DAYS),
    ]);
    await Promise.all(producers.map((one) => one.stop()));
    for (const { state, days } of runs) {
      expect(state).toBe("done");
      // A read with a later stamp may have read earlier, and fewer events than the row counts: it is refused.
      expect(days.written + days.unchanged + days.stale + days.refused).toBe(days.planned);
    }

    const rows = await storedRows(world.pool);
    expect(rows.size).toBe(18);
    expect(producers.map(({ stored }) => stored.size)).toEqual([6, 6, 6]);
    for (const { tenant, stored } of producers) {
      for (const [date, events] of stored) {
        const row = rows.get(`${tenant}|${date}`);
        const counted = Number(row?.source_events);
        // Events came one by one: the row is what the oracle makes of the first so many, all that were there included.
        const readAt = new Date(`${row?.read_at}`).getTime();
        const there = events.filter(({ storedBy }) => Date.parse(`${storedBy.slice(0, 23)}Z`) < readAt).length;
        expect(counted).toBeGreaterThanOrEqual(there);
        const { days } = oracle(
          events.slice(0, counted).map((one) => one.event),
          { timeZone: "UTC", now: new Date() },
        );
        expect(row && differences(row, days.get(`${tenant}|${date}`) as never)).toEqual([]);
      }
    }

    await Promise.all([doRun(world.services, DAYS), doRun(other, { ...DAYS, kind: "nightly" })]);
    const all = producers.flatMap((one) => one.events());
    expect(await tableDifferences(world, all)).toEqual([]);
    expect(await dirtyDays(world)).toEqual([]);
  });
});
