import { expect, test } from "vitest";
import { startWorker } from "../../../src/app.ts";
import { followArrivals } from "../../../src/jobs/follow-arrivals.ts";
import { schedules } from "../../../src/schedule/schedules.ts";
import { Services } from "../../../src/services.ts";
import { event } from "../../support/sample.ts";
import { storedRows } from "../../support/stored-rows.ts";
import { until } from "../../support/until.ts";
import { useWorld } from "../../support/world.ts";
import { dateAt, dirty, noon, workOff, ZONE } from "./follow.ts";

const world = useWorld("refresher", { USAGE_TIMEZONE: ZONE, REFRESH_SECONDS: "1" });

test("two workers keep the rows of old days true to late events, without being asked", async () => {
  const services = [1, 2].map(() => new Services(world.config, world.services.log));
  const workers = await Promise.all(services.map((own) => startWorker(own)));
  try {
    for (const count of ["1", "2", "3"]) {
      await world.insert([event({ created_at: noon(dateAt(-20)) }), event({ created_at: noon(dateAt(0)) })]);
      for (const date of [dateAt(-20), dateAt(0)]) {
        await until(`row of ${date} with ${count} events`, async () => {
          return (await storedRows(world.pool)).get(`acme|${date}`)?.source_events === count;
        });
      }
    }
    await until("empty list", async () => (await dirty(world)).length === 0);
  } finally {
    await Promise.all(workers.map((worker) => worker.stop()));
    await Promise.all(services.map((own) => own.close()));
  }
  // One worker may have begun a refresh of what the other was about to take off the list; it is stopped before its chunk.
  const { rows: begun } = await world.pool.query<{ id: string }>(
    "SELECT id FROM usage_run WHERE kind = 'refresh' AND finished_at IS NULL",
  );
  expect(begun.length).toBeLessThanOrEqual(1);
  for (const { id } of begun) await workOff(world, id);
  const { rows } = await world.pool.query(
    `SELECT DISTINCT state, days_planned = days_written + days_unchanged AS adds_up FROM usage_run
      WHERE kind = 'refresh'`, // the nightly rebuild of a starting worker covers neither day
  );
  expect(rows).toEqual([{ state: "done", adds_up: true }]);
});

test("the refresh is due every REFRESH_SECONDS, in the queue that bulk work does not fill", async () => {
  const refresh = schedules(world.config).find(({ name }) => name === "refresh");
  expect(refresh?.every).toBe(1);
  const enqueued: unknown[] = [];
  await refresh?.tick("2026-11-21T02:15:01Z", {
    request: () => Promise.reject(new Error("asked for a run")),
    nightlyThrough: () => Promise.resolve(undefined),
    enqueue: (job, payload, queue) => Promise.resolve(void enqueued.push([job.name, payload, queue])),
  });
  expect(enqueued).toEqual([[followArrivals.name, { v: 1, slot: "2026-11-21T021501Z" }, "fresh"]]);
});
