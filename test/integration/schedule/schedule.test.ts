import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { parse as parseCron } from "node-cron";
import { loadConfig } from "../../../src/config.ts";
import { nightlyThrough } from "../../../src/db/postgres/watermarks.ts";
import { JOBS } from "../../../src/jobs/index.ts";
import type { Queues } from "../../../src/queues/queues.ts";
import { Scheduler } from "../../../src/schedule/scheduler.ts";
import { schedules, occurrenceOf, type Schedule, type TickActions } from "../../../src/schedule/schedules.ts";
import { Services } from "../../../src/services.ts";
import { daysOfEvents } from "../../support/days-of-events.ts";
import { until } from "../../support/until.ts";
import { useWorld } from "../../support/world.ts";

const SLOT = "2026-11-21T02:15Z";
const NO_PAUSE = { times: 20, pauseMs: 1 };

const world = useWorld("schedule");
let queues: Queues;

beforeAll(async () => {
  queues = await world.services.queues();
});
beforeEach(async () => {
  await world.reset();
  await world.insert(daysOfEvents("acme", "2026-11-15", 6));
});
afterEach(() => vi.useRealTimers());

/** What the worker's ticks do, on the servers of the given services. */
function actionsOf(services: Services): TickActions {
  return {
    request: async (wish) => {
      const runs = await services.runs();
      const { created } = await runs.create(wish);
      if (created) await queues.dispatch(await services.due());
    },
    enqueue: (job, payload, queue = "bulk") => queues.enqueue(job, payload, queue),
    nightlyThrough: async () => nightlyThrough(await services.pool()),
  };
}

const rowsOf = async (table: string) => (await world.pool.query(`SELECT * FROM ${table}`)).rows as unknown[];
const table = () => schedules(world.config);
const find = (name: string): Schedule => table().find((entry) => entry.name === name) as Schedule;

describe("the table of schedules", () => {
  test("has names of its own, and for each a cron expression of five fields or a period", () => {
    expect(table().length).toBeGreaterThan(0);
    expect(new Set(table().map(({ name }) => name)).size).toBe(table().length);
    const periods = table().flatMap(({ every }) => every ?? []);
    const crons = table().flatMap(({ cron }) => cron ?? []);
    expect(periods.length + crons.length).toBe(table().length);
    expect(periods.filter((every) => every <= 0)).toEqual([]);
    expect(() => crons.map(parseCron)).not.toThrow();
    expect(crons.filter((cron) => cron.trim().split(/\s+/).length !== 5)).toEqual([]);
  });

  test("is due in UTC whatever the machine's time zone, under the name of the minute", async () => {
    const machine = process.env["TZ"];
    process.env["TZ"] = "America/New_York";
    vi.useFakeTimers({ now: Date.parse("2026-11-21T00:00:30Z") });
    const fired: string[] = [];
    const entries = ["15 2 * * *", "45 23 * * *"].map((cron) => {
      return { name: cron, cron, tick: (slot: string) => Promise.resolve(void fired.push(`${cron} at ${slot}`)) };
    });
    const scheduler = new Scheduler(entries, actionsOf(world.services), world.services.log);
    try {
      expect(new Date().getTimezoneOffset()).toBe(300); // the machine's zone did change
      scheduler.start();
      await vi.advanceTimersByTimeAsync(24 * 3_600_000);
      expect(fired).toEqual(["15 2 * * * at 2026-11-21T02:15Z", "45 23 * * * at 2026-11-21T23:45Z"]);
    } finally {
      await scheduler.stop();
      if (machine === undefined) delete process.env["TZ"];
      else process.env["TZ"] = machine;
    }
  });

  test.each(schedules(loadConfig({})))("$name only enqueues", async ({ name }) => {
    const enqueued: { job: string; payload: unknown }[] = [];
    const requested: unknown[] = [];
    const actions: TickActions = {
      request: (wish) => Promise.resolve(void requested.push(wish)),
      enqueue: (job, payload) => Promise.resolve(void enqueued.push({ job: job.name, payload })),
      nightlyThrough: () => Promise.resolve(undefined),
    };
    await find(name).tick(SLOT, actions);
    expect(requested.length + enqueued.length).toBe(1);
    for (const { job: jobName, payload } of enqueued) {
      const job = JOBS.find((known) => known.name === jobName);
      const parsed = job?.payload.parse(payload); // the payload parses as its job's
      expect(job?.id(parsed)).not.toContain(":");
      // Ticks of the refresh that wait are one job; of the others each slot is.
      expect(job?.id(parsed)).toContain(name === "refresh" ? "follow-arrivals" : "2026-11-21T02");
    }

    // and with the real servers: a planned run or a waiting job, and no work done
    await find(name).tick(SLOT, actionsOf(world.services));
    expect(await rowsOf("usage_chunk")).toEqual([]);
    expect(await rowsOf("daily_usage_cache")).toEqual([]);
    expect(await rowsOf("usage_run")).toMatchObject(requested.map(() => ({ state: "planned", chunks_planned: 0 })));
    expect((await queues.counts()).reduce((sum, { waiting }) => sum + waiting, 0)).toBeGreaterThan(0);
  });
});

describe("Scheduler", () => {
  test("makes one run of an occurrence that ten instances fire, at once or later", async () => {
    const nightly = find("nightly");
    const services = Array.from({ length: 10 }, () => new Services(world.config, world.services.log));
    try {
      const fire = (slot: string) =>
        Promise.all(
          services.map((own) => new Scheduler(table(), actionsOf(own), own.log, NO_PAUSE).fire(nightly, slot)),
        );
      await fire(SLOT);
      expect(await rowsOf("usage_run")).toEqual([
        expect.objectContaining({ kind: "nightly", state: "planned", from_date: expect.anything() as unknown }),
      ]);
      await world.pool.query("UPDATE usage_run SET state = 'done', finished_at = now()");
      await fire(SLOT); // a replica whose clock is behind
      expect(await rowsOf("usage_run")).toHaveLength(1);
      await fire("2026-11-22T02:15Z");
      expect(await rowsOf("usage_run")).toHaveLength(2);
    } finally {
      for (const own of services) await own.close();
    }
  });

  test("tries a tick again whose server is away", async () => {
    const closed = "postgres://postgres@127.0.0.1:1/away";
    const away = new Services({ ...world.config, databaseUrl: closed }, world.services.log);
    let attempts = 0;
    const failures: unknown[] = [];
    const actions: TickActions = {
      ...actionsOf(world.services),
      request: async (wish) => {
        const services = ++attempts < 4 ? away : world.services;
        await actionsOf(services)
          .request(wish)
          .catch((error: unknown) => {
            failures.push(error);
            throw error;
          });
      },
    };
    await new Scheduler(table(), actions, world.services.log, NO_PAUSE).fire(find("nightly"), SLOT);
    expect(attempts).toBe(4);
    expect(failures).toHaveLength(3);
    expect(await rowsOf("usage_run")).toHaveLength(1);
    await away.close();
  });

  test("gives up a tick after its tries, and at once when stopped", async () => {
    let attempts = 0;
    const failing: Schedule = {
      name: "failing",
      cron: "* * * * *",
      tick: () => {
        attempts++;
        return Promise.reject(new Error("away"));
      },
    };
    const actions = actionsOf(world.services);
    await new Scheduler([], actions, world.services.log, { times: 3, pauseMs: 1 }).fire(failing, SLOT);
    expect(attempts).toBe(3);

    const stopped = new Scheduler([], actions, world.services.log, { times: 3, pauseMs: 600_000 });
    const fired = stopped.fire(failing, SLOT);
    await until("fourth try", () => attempts === 4);
    await stopped.stop();
    await fired;
    expect(attempts).toBe(4);
  });

  test("names an occurrence by its minute", () => {
    expect(occurrenceOf(new Date("2026-11-21T02:15:59.999Z"))).toBe("2026-11-21T02:15Z");
  });
});
