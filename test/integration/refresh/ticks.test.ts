import { expect, test } from "vitest";
import { followArrivals } from "../../../src/jobs/follow-arrivals.ts";
import { useWorld } from "../../support/world.ts";

const world = useWorld("ticks");

test("ticks of the refresh that no worker takes are one job", async () => {
  const queues = await world.services.queues();
  for (const slot of ["2026-11-21T021500Z", "2026-11-21T022000Z", "2026-11-21T022500Z"]) {
    await queues.enqueue(followArrivals, { v: 1, slot }, "fresh");
  }
  const counts = await queues.counts();
  expect(counts.find(({ queue }) => queue === "fresh")).toMatchObject({ waiting: 1, delayed: 0 });
});
