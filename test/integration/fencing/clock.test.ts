import { pino } from "pino";
import { beforeEach, describe, expect, test } from "vitest";
import { Services } from "../../../src/services.ts";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { openedForEach } from "../../support/opened.ts";
import { event, type SampleEvent } from "../../support/sample.ts";
import { storedRows } from "../../support/stored-rows.ts";
import { useWorldForEach } from "../../support/world.ts";
import { dirtyDays, doRun, plannedRun, workOn } from "./runs.ts";
import { SlowExecution } from "./slow-execution.ts";
import { SteppedClock } from "./stepped-clock.ts";
import { tableDifferences } from "./table.ts";

const DAY = "2026-03-01";
const ONE = { from: DAY, to: DAY };
const ALARM =
  "rows have read stamps more than five minutes ahead of PostgreSQL's clock: the clock was wrong then, or is wrong now";

const world = useWorldForEach("clock");
const clock = openedForEach(() => SteppedClock.create(world.env["DATABASE_URL"]));
/** a process whose log the test reads */
const services = openedForEach(() => {
  logged = [];
  const sink = { write: (line: string) => void logged.push(JSON.parse(line) as (typeof logged)[number]) };
  return new Services(world.config, pino({ level: "error" }, sink));
});
let logged: { level: number; msg: string; days?: unknown }[];
let events: SampleEvent[];

beforeEach(async () => {
  events = daysOfEvents("acme", DAY, 1, 3);
  await world.insert(events);
});

async function add(user_id: string): Promise<void> {
  events.push(event({ user_id }));
  await world.insert(events.slice(-1));
}

const row = async () => (await storedRows(world.pool)).get(`acme|${DAY}`);
/** The true time, whatever the clock says. */
async function trueTime(): Promise<string> {
  const { rows } = await world.pool.query<{ now: string }>("SELECT stepped.true_clock()::text AS now");
  return rows[0]?.now as string;
}

/** Does the row's stamp say that it was read so much after a moment between `since` and now, by the true time? */
async function isAheadBy(by: string, since: string): Promise<unknown> {
  const { rows } = await world.pool.query<{ is: boolean }>(
    "SELECT read_at - $1::interval BETWEEN $2 AND stepped.true_clock() AS is FROM daily_usage_cache",
    [by, since],
  );
  return rows[0]?.is;
}
const expectTrue = async () => expect(await tableDifferences(world, events)).toEqual([]);
const dirty = [{ tenant_id: "acme", date: DAY, waits: true }];

describe("after the clock of PostgreSQL was put back", () => {
  test("by minutes, a row stands until the clock has caught up, and its day waits to be read again", async () => {
    await clock.ahead("4 minutes");
    const begun = await trueTime();
    await doRun(services, ONE);
    expect(await isAheadBy("4 minutes", begun)).toBe(true);
    const before = await row();

    await clock.ahead("0");
    await add("bob");
    expect(await doRun(services, ONE)).toMatchObject({ state: "done", days: { written: 0, stale: 1 } });
    expect(await row()).toEqual(before);
    expect(await dirtyDays(world)).toEqual(dirty);
    expect(logged).toEqual([]);

    await clock.ahead("4 minutes 30 seconds");
    expect((await doRun(services, ONE)).days).toMatchObject({ written: 1, stale: 0 });
    await expectTrue();
    expect(await dirtyDays(world)).toEqual([]);
  });

  test("a late event found meanwhile is not forgotten by the read that could not be stored", async () => {
    await clock.ahead("4 minutes");
    await doRun(services, ONE);
    await clock.ahead("0");
    await add("bob");
    await world.pool.query(
      "INSERT INTO usage_dirty (tenant_id, date, found_at) VALUES ('acme', $1, clock_timestamp())",
      [DAY],
    );
    expect((await doRun(services, ONE)).days).toMatchObject({ stale: 1 });
    expect(await dirtyDays(world)).toEqual(dirty);
  });

  test.each([
    ["of other content is overwritten", true, { written: 1, unchanged: 0, stale: 0 }],
    ["of the same content gets a true stamp", false, { written: 0, unchanged: 1, stale: 0 }],
  ])("by more than five minutes, a row %s, and that is an alarm", async (_, isOther, outcome) => {
    await clock.ahead("1 hour");
    const begun = await trueTime();
    await doRun(services, ONE);
    const before = await row();
    expect(await isAheadBy("1 hour", begun)).toBe(true);
    expect(logged).toEqual([]);

    await clock.ahead("0");
    if (isOther) await add("bob");
    const again = await trueTime();
    expect((await doRun(services, ONE)).days).toMatchObject(outcome);
    expect(await isAheadBy("0", again)).toBe(true);
    await expectTrue();
    expect(await dirtyDays(world)).toEqual([]);
    const readAt = before?.read_at.replace(
      /^(.{10}) (.{8})\.?(\d*)\+00$/, // trailing zeros are left out
      (_, day: string, time: string, fraction: string) => `${day}T${time}.${fraction.padEnd(6, "0")}Z`,
    );
    expect(logged).toMatchObject([{ level: 50, msg: ALARM, days: [{ tenant: "acme", date: DAY, readAt }] }]);

    expect((await doRun(services, ONE)).days).toMatchObject({ unchanged: 1 });
    expect(logged).toHaveLength(1);
  });

  test("by more than five minutes, a final day still does not shrink", async () => {
    await clock.ahead("1 hour");
    await doRun(services, ONE);
    const before = await row();
    await clock.ahead("0");
    await world.events.deleteOne({ user_id: "user-0" });
    expect((await doRun(services, ONE)).days).toMatchObject({ refused: 1 });
    expect(await row()).toEqual(before);
    expect(logged).toMatchObject([{ msg: ALARM }]);
  });

  describe.each(["4 minutes", "1 hour"])("by %s between a read and its write", (ahead) => {
    test("a read from before the step gives way to a read from after it, and the day is read again", async () => {
      await clock.ahead(ahead);
      const slow = await SlowExecution.create(services);
      const late = workOn(await plannedRun(services, ONE), slow.context);
      await slow.reading();
      await clock.ahead("0");
      await add("bob");
      await doRun(world.services, ONE);
      const newer = await row();

      slow.letGo();
      expect(await late).toMatchObject({ written: 0, stale: 1 });
      expect(await row()).toEqual(newer);
      await expectTrue();
      expect(await dirtyDays(world)).toEqual(dirty);
      expect((await doRun(world.services, ONE)).days).toMatchObject({ unchanged: 1 });
      expect(await dirtyDays(world)).toEqual([]);
    });

    test("a read that finds no row is stored, but its day is read again", async () => {
      await clock.ahead(ahead);
      const slow = await SlowExecution.create(services);
      const late = workOn(await plannedRun(services, ONE), slow.context);
      await slow.reading();
      await clock.ahead("0");
      await add("bob"); // too late for the read, but its stamp says otherwise
      await world.pool.query(
        "INSERT INTO usage_dirty (tenant_id, date, found_at) VALUES ('acme', $1, clock_timestamp())",
        [DAY],
      );
      slow.letGo();
      expect(await late).toMatchObject({ written: 1 });
      expect(await dirtyDays(world)).toEqual(dirty);

      await clock.ahead("4 minutes 30 seconds"); // it goes on
      expect((await doRun(services, ONE)).days).toMatchObject({ written: 1 });
      await expectTrue();
      expect(await dirtyDays(world)).toEqual([]);
    });
  });

  test("two reads from before the step keep their order, whichever is written first", async () => {
    await clock.ahead("1 hour");
    const slow = await SlowExecution.create(services);
    const late = workOn(await plannedRun(services, ONE), slow.context);
    await slow.reading();
    await add("bob");
    await doRun(world.services, ONE);
    const newer = await row();
    await clock.ahead("0");
    slow.letGo();
    expect(await late).toMatchObject({ written: 0, stale: 1 });
    expect(await row()).toEqual(newer);
    await expectTrue();
  });
});

test("the clock may be put forward: what was read before is older", async () => {
  await doRun(services, ONE);
  await clock.ahead("1 day");
  await add("bob");
  expect((await doRun(services, ONE)).days).toMatchObject({ written: 1 });
  await expectTrue();
  expect(logged).toEqual([]);
});
