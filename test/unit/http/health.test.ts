import { expect, test } from "vitest";
import { liveness } from "../../../src/http/health.ts";

const MINUTES = 60_000;
const queue = (idleMs: number, waiting: number | undefined, name = "bulk") => {
  return { queue: name, active: 0, hanging: 0, idleMs, waiting };
};
/** So many jobs run, some of which hang. */
const atWork = (active: number, hanging: number, waiting: number | undefined) => {
  return { queue: "bulk", active, hanging, idleMs: 11 * MINUTES, waiting };
};

test.each([
  ["no queue", [], []],
  ["at work, and others wait for long", [atWork(1, 0, 100)], []],
  ["a job hangs and nothing waits", [atWork(1, 1, 0)], ["bulk"]],
  ["one of several jobs hangs", [atWork(3, 1, 9)], ["bulk"]],
  ["a job hangs, and Redis does not answer", [atWork(1, 1, undefined)], ["bulk"]],
  ["idle with nothing to do", [queue(1_000 * MINUTES, 0)], []],
  ["jobs wait, but not for long", [queue(10 * MINUTES, 1)], []],
  ["jobs wait for more than ten minutes", [queue(10 * MINUTES + 1, 1)], ["bulk"]],
  ["Redis does not answer: a restart would not help", [queue(1_000 * MINUTES, undefined)], []],
  ["one of two is stuck", [queue(0, 1, "fresh"), queue(11 * MINUTES, 1)], ["bulk"]],
  ["both are", [queue(11 * MINUTES, 1, "fresh"), queue(11 * MINUTES, 1)], ["fresh", "bulk"]],
])("%s", (_, queues, stuck) => {
  expect(liveness(queues)).toEqual({ alive: stuck.length === 0, stuck });
});
