import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createLogger } from "../../../src/log.ts";
import { Scheduler } from "../../../src/schedule/scheduler.ts";
import type { Schedule, TickActions } from "../../../src/schedule/schedules.ts";

const ACTIONS: TickActions = {
  request: () => Promise.reject(new Error("not asked for here")),
  enqueue: () => Promise.reject(new Error("not asked for here")),
  nightlyThrough: () => Promise.resolve(undefined),
};

beforeEach(() => void vi.useFakeTimers({ now: Date.parse("2026-11-21T02:10:07.500Z") }));
afterEach(() => void vi.useRealTimers());

function scheduler(entries: readonly Schedule[]): Scheduler {
  return new Scheduler(entries, ACTIONS, createLogger("silent"), { times: 3, pauseMs: 1_000 });
}

test("a period is due at its whole multiples, under the name of the second", async () => {
  const fired: string[] = [];
  const running = scheduler([
    { name: "fast", every: 20, tick: (slot) => Promise.resolve(void fired.push(`fast ${slot}`)) },
    {
      name: "slow",
      every: 300,
      tick: (slot) => Promise.resolve(void fired.push(`slow ${slot} at ${Date.now() % 300_000}`)),
    },
  ]);
  running.start();
  await vi.advanceTimersByTimeAsync(53_000);
  expect(fired).toEqual(["20", "40"].map((second) => `fast 2026-11-21T02:10:${second}Z`).concat("fast 2026-11-21T02:11:00Z")); // prettier-ignore
  fired.length = 0;
  await vi.advanceTimersByTimeAsync(300_000);
  expect(fired.filter((text) => text.startsWith("slow"))).toEqual(["slow 2026-11-21T02:15:00Z at 0"]);
  await running.stop();
  fired.length = 0;
  await vi.advanceTimersByTimeAsync(600_000);
  expect(fired).toEqual([]);
});

test("no tick of a period piles up on a slow one", async () => {
  const begun: string[] = [];
  let atOnce = 0;
  let most = 0;
  const tick = async (slot: string) => {
    begun.push(slot.slice(14, 19));
    most = Math.max(most, ++atOnce);
    await new Promise((resolve) => setTimeout(resolve, slot.includes(":10:20") ? 45_000 : 1_000));
    atOnce--;
  };
  const running = scheduler([{ name: "period", every: 10, tick }]);
  running.start();
  await vi.advanceTimersByTimeAsync(85_000);
  expect(begun).toEqual(["10:10", "10:20", "11:10", "11:20", "11:30"]);
  expect(most).toBe(1);
  await running.stop();
});

test("a period's tick that fails is tried again, then left to the next", async () => {
  const tried: string[] = [];
  const tick = (slot: string) => {
    tried.push(slot.slice(14, 19));
    return Promise.reject(new Error("away"));
  };
  const running = scheduler([{ name: "period", every: 30, tick }]);
  running.start();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(tried).toEqual(["10:30", "10:30", "10:30", "11:00", "11:00", "11:00"]);
  await running.stop();
});

test("a start fires the latest missed occurrence, but only of schedules that catch up", async () => {
  const fired: string[] = [];
  const tick = (slot: string) => Promise.resolve(void fired.push(slot));
  const running = scheduler([
    { name: "made up", cron: "15 2 * * *", catchUp: true, tick },
    { name: "not made up", cron: "5 2 * * *", tick },
  ]);
  running.start();
  await vi.advanceTimersByTimeAsync(0);
  expect(fired).toEqual(["2026-11-20T02:15Z"]);
  await vi.advanceTimersByTimeAsync(300_000);
  expect(fired).toEqual(["2026-11-20T02:15Z", "2026-11-21T02:15Z"]);
  await running.stop();
});

test("a stop waits for the tick that is underway", async () => {
  let ended = false;
  let release: () => void = () => undefined;
  const running = scheduler([
    {
      name: "made up",
      cron: "15 2 * * *",
      catchUp: true,
      tick: async () => {
        await new Promise<void>((resolve) => (release = resolve));
        ended = true;
      },
    },
  ]);
  running.start();
  let stopped = false;
  const stopping = running.stop().then(() => (stopped = true));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(stopped).toBe(false);
  release();
  await stopping;
  expect(ended).toBe(true);
});
